//! What is set on NICs.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;
use trestle_model::{FeatureName, IfName, RingSizes};

use crate::device::Devices;
use crate::ethtool::{self, FEATURES_SET, GenericMessage, RINGS_SET, RX, TX};
use crate::failure::Failure;
use crate::sriov;

/// How long a driver may take to bring functions up or down.
const WRITING: Duration = Duration::from_secs(30);

pub(super) async fn set_rings(devices: &mut Devices<'_>, name: &IfName, sizes: RingSizes) -> Result<(), Failure> {
    let mut message = about(devices, name, RINGS_SET).await?;
    message.attributes.extend(sizes.rx.map(|rx| ethtool::number(RX, rx)));
    message.attributes.extend(sizes.tx.map(|tx| ethtool::number(TX, tx)));
    devices.nics.socket.change(message, 0).await
}

pub(super) async fn set_features(
    devices: &mut Devices<'_>,
    name: &IfName,
    features: &BTreeMap<FeatureName, bool>,
) -> Result<(), Failure> {
    let mut message = about(devices, name, FEATURES_SET).await?;
    message.attributes.push(ethtool::switches(features.iter().map(|(name, on)| (name.as_str(), *on))));
    devices.nics.socket.change(message, 0).await
}

/// Sets the number aside: a driver sleeps while it brings functions up.
pub(super) async fn set_virtual_functions(devices: &mut Devices<'_>, name: &IfName, count: u32) -> Result<(), Failure> {
    let index = devices.require(name).await?.index;
    let nic = name.clone();
    let written = spawn_blocking(move || sriov::set(Path::new("/sys"), &nic, index, count));
    // A write that takes a function from a guest may wait for the guest: what else is to be done must not wait with it.
    let Ok(written) = timeout(WRITING, written).await else {
        let words = format!("{name} has not changed its virtual functions within {} s", WRITING.as_secs());
        return Err(Failure::Mismatch(words));
    };
    let written = written.unwrap_or_else(|ended| Err(io::Error::other(ended)));
    written.map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound {
            return Failure::Mismatch(format!("{name} is no physical function of SR-IOV"));
        }
        Failure::of_io(&error)
    })
}

async fn about(devices: &mut Devices<'_>, name: &IfName, command: u8) -> Result<GenericMessage, Failure> {
    let index = devices.require(name).await?.index;
    let family = devices.nics.family().await?;
    let family = family.ok_or_else(|| Failure::Mismatch("the kernel has no ethtool messages".to_owned()))?;
    Ok(ethtool::about(family, command, index))
}
