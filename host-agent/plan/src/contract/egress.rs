//! A case about what queues what leaves a device.

use trestle_model::{BitRate, Egress, HostQos, Shaping, TrafficClass};

use super::bench::{Bench, same, up};
use crate::{Host, KernelStep};

pub(super) async fn egress_is_shaped<H: Host>(bench: &Bench<'_, H>) -> Result<(), String> {
    let (link, vlan) = (bench.nic.clone(), TrafficClass::Vlan(bench.vlan_id));
    let rest = HostQos { link_share: rate(20)?, upper_limit: None, committed_rate: None };
    let limited = HostQos { upper_limit: Some(rate(50)?), committed_rate: Some(rate(10)?), ..rest };
    let set = |class, qos| KernelStep::SetTrafficClass { link: link.clone(), class, qos };
    let remove = |class| KernelStep::RemoveTrafficClass { link: link.clone(), class };
    let is = async |classes: &[(TrafficClass, HostQos)]| {
        let egress = bench.link(&link).await?.egress;
        same("queueing", &egress, &Egress::Shaped(Shaping(classes.iter().copied().collect())))
    };
    bench.perform([up(&link)]).await?;
    let refused = bench.perform_once(&[set(vlan, rest).into()]).await.is_err();
    same("a class without a root is refused", &refused, &true)?;
    same("queueing", &bench.link(&link).await?.egress, &Egress::Kernels)?;
    bench.perform([KernelStep::ShapeEgress { link: link.clone(), rest }]).await?;
    is(&[(TrafficClass::Rest, rest)]).await?;
    bench.perform([set(vlan, rest)]).await?;
    is(&[(TrafficClass::Rest, rest), (vlan, rest)]).await?;
    bench.perform([set(vlan, limited), set(TrafficClass::Rest, limited)]).await?;
    is(&[(TrafficClass::Rest, limited), (vlan, limited)]).await?;
    // A class keeps the rates that it is not told.
    bench.perform([set(vlan, rest)]).await?;
    is(&[(TrafficClass::Rest, limited), (vlan, limited)]).await?;
    bench.perform([remove(vlan), remove(TrafficClass::Rest), set(TrafficClass::Rest, rest)]).await?;
    is(&[(TrafficClass::Rest, rest)]).await?;
    bench.perform([set(vlan, limited)]).await?;
    // It stays while the device is down.
    bench
        .perform([
            KernelStep::SetUp { link: link.clone(), up: false },
            KernelStep::SetUp { link: link.clone(), up: true },
        ])
        .await?;
    is(&[(TrafficClass::Rest, rest), (vlan, limited)]).await?;
    bench.perform([KernelStep::UnshapeEgress { link: link.clone() }]).await?;
    same("queueing", &bench.link(&link).await?.egress, &Egress::Kernels)
}

fn rate(megabits: u64) -> Result<BitRate, String> {
    BitRate::try_from(megabits * 1_000_000).map_err(|bad| bad.to_string())
}
