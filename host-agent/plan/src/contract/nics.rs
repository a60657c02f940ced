//! A case about what is set on NICs themselves, as far as their driver takes it.

use std::collections::BTreeMap;

use trestle_model::{FeatureName, RingSizes};

use super::bench::{Bench, same, up};
use crate::{Host, KernelStep};

pub(super) async fn nics_are_set<H: Host>(bench: &Bench<'_, H>) -> Result<(), String> {
    let link = bench.nic.clone();
    bench.perform([up(&link)]).await?;
    let before = bench.link(&link).await?.settings;
    // One that needs no other, and that every NIC has.
    let feature = FeatureName::parse("rx-gro").map_err(|bad| bad.to_string())?;
    let was = before.features.get(&feature).ok_or("the NIC cannot switch rx-gro")?.requested;
    for on in [!was, was] {
        let features = BTreeMap::from([(feature.clone(), on)]);
        bench.perform([KernelStep::SetFeatures { link: link.clone(), features }]).await?;
        let is = bench.link(&link).await?.settings.features.get(&feature).copied();
        same("requested", &is.map(|is| is.requested), &Some(on))?;
        same("active", &is.map(|is| is.active), &Some(on))?;
    }
    same("settings", &bench.link(&link).await?.settings, &before)?;
    let functions = |count| KernelStep::SetVirtualFunctions { link: link.clone(), count };
    match &before.vfs {
        None => {
            let refused = bench.perform_once(&[functions(1).into()]).await.is_err();
            same("a NIC without virtual functions is refused", &refused, &true)?;
        }
        Some(vfs) if vfs.functions.is_empty() => {
            for count in [2, 0] {
                bench.perform([functions(count)]).await?;
                let is = bench.link(&link).await?.settings.vfs.map(|vfs| vfs.count());
                same("virtual functions", &is, &Some(count))?;
            }
        }
        // Somebody may use them.
        Some(_) => {}
    }
    let set = |rx| KernelStep::SetRings { link: link.clone(), sizes: RingSizes { rx: Some(rx), tx: None } };
    let Some(rings) = before.rings else {
        let refused = bench.perform_once(&[set(64).into()]).await.is_err();
        return same("a NIC without rings is refused", &refused, &true);
    };
    let refused = bench.perform_once(&[set(rings.rx_max.saturating_add(1)).into()]).await.is_err();
    same("more than the most is refused", &refused, &true)
}
