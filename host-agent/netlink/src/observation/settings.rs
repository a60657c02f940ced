//! What is set on NICs, one after the other: what is nobody's NIC is not asked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use nix::errno::Errno;
use tokio::task::spawn_blocking;
use trestle_model::{FeatureName, FeatureState, IfName, Link, LinkKind, NicState, Rings};

use super::virtual_functions;
use crate::ethtool::{
    self, ACTIVE, FEATURES_GET, GenericMessage, RINGS_GET, RX, RX_MAX, SWITCHABLE, TX, TX_MAX, WANTED,
};
use crate::failure::Failure;
use crate::nic_line::NicLine;
use crate::socket::Socket;
use crate::sriov;

/// Adds to links what is set on those that are NICs; a kernel without such messages (before 5.6) says nothing.
pub(super) async fn add_to(links: &mut BTreeMap<IfName, Link>, socket: &Socket, line: &NicLine) -> Result<(), Failure> {
    if let Some(family) = line.family().await? {
        for link in links.values_mut().filter(|link| may_have(link)) {
            link.settings = settings(line, family, link.index).await?;
        }
    }
    let nics = links.values().filter(|link| link.kind == LinkKind::Nic).map(|link| (link.name.clone(), link.index));
    let nics: Vec<(IfName, u32)> = nics.collect();
    if nics.is_empty() {
        return Ok(());
    }
    let reading = spawn_blocking(move || {
        let read = |(name, index)| Some((sriov::read(Path::new("/sys"), &name, index)?, name));
        nics.into_iter().filter_map(read).collect::<Vec<_>>()
    });
    for (mut vfs, name) in reading.await.unwrap_or_default() {
        let Some(link) = links.get_mut(&name) else { continue };
        if !vfs.functions.is_empty() {
            let mut set = virtual_functions::settings(socket, link.index).await;
            for (number, function) in (0..).zip(&mut vfs.functions) {
                function.set = set.remove(&number);
            }
        }
        link.settings.vfs = Some(vfs);
    }
    Ok(())
}

async fn settings(line: &NicLine, family: u16, index: u32) -> Result<NicState, Failure> {
    let features = told(line, ethtool::about(family, FEATURES_GET, index)).await?;
    let rings = told(line, ethtool::about(family, RINGS_GET, index)).await?;
    Ok(NicState {
        rings: rings.as_ref().and_then(read_rings),
        features: features.as_ref().map(read_features).unwrap_or_default(),
        vfs: None,
    })
}

/// Asks for something that not every driver has, of a device that may have gone.
async fn told(line: &NicLine, request: GenericMessage) -> Result<Option<GenericMessage>, Failure> {
    match line.socket.read(request).await {
        Err(failure) if matches!(failure.errno(), Some(Errno::EOPNOTSUPP | Errno::ENODEV)) => Ok(None),
        answers => Ok(answers?.into_iter().next()),
    }
}

fn read_rings(message: &GenericMessage) -> Option<Rings> {
    Some(Rings {
        rx: message.number(RX)?,
        rx_max: message.number(RX_MAX)?,
        tx: message.number(TX)?,
        tx_max: message.number(TX_MAX)?,
    })
}

fn read_features(message: &GenericMessage) -> BTreeMap<FeatureName, FeatureState> {
    let set = |kind| ethtool::names(&message.attribute(kind).unwrap_or_default()).into_iter().collect::<BTreeSet<_>>();
    let (switchable, wanted, active) = (set(SWITCHABLE), set(WANTED), set(ACTIVE));
    let feature = |name: &String| {
        let state = FeatureState { requested: wanted.contains(name), active: active.contains(name) };
        Some((FeatureName::parse(name).ok()?, state))
    };
    switchable.iter().filter_map(feature).collect()
}

fn may_have(link: &Link) -> bool {
    match &link.kind {
        LinkKind::Nic | LinkKind::Veth => true,
        LinkKind::Other(kind) => kind == "dummy",
        LinkKind::Vlan { .. } | LinkKind::Bridge(_) | LinkKind::Bond(_) | LinkKind::Tun | LinkKind::Loopback => false,
    }
}
