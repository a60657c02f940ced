//! What hardware and drivers tell of a NIC, which rtnetlink does not: read below `/sys`.
//!
//! A file that is not there, cannot be read or makes no sense is something that the driver does not tell. The class
//! folder shows the network namespace of whoever mounted `/sys`: a device there is only believed where its index is the
//! one that the kernel told over netlink. The bus folders are the same in every namespace.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use tokio::task::spawn_blocking;
use trestle_model::{Duplex, IfName, NicHardware};

/// Where to look for a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) name: IfName,
    pub(crate) index: u32,
    /// Bus and name of the device that the NIC is a function of; kernel 5.14 and newer tell.
    pub(crate) parent: Option<(String, String)>,
}

/// The bus whose devices sit on another bus themselves.
const VIRTIO: &str = "virtio";

/// Reads what is told of the devices; a driver may sleep while it is asked, so it is done aside.
pub(crate) async fn read(places: Vec<Place>) -> BTreeMap<IfName, NicHardware> {
    let reading = spawn_blocking(move || read_below(Path::new("/sys"), &places));
    reading.await.unwrap_or_default()
}

fn read_below(sys: &Path, places: &[Place]) -> BTreeMap<IfName, NicHardware> {
    places.iter().map(|place| (place.name.clone(), hardware(sys, place))).collect()
}

fn hardware(sys: &Path, place: &Place) -> NicHardware {
    let class = sys.join("class/net").join(place.name.as_str());
    let is_it = number(&class.join("ifindex")) == Some(place.index);
    let parent = place.parent.as_ref().map(|(bus, device)| sys.join("bus").join(bus).join("devices").join(device));
    NicHardware {
        driver: parent.as_ref().and_then(|parent| last_of(&fs::canonicalize(parent.join("driver")).ok()?)),
        bus_address: place.parent.as_ref().zip(parent).and_then(|((bus, device), parent)| {
            if bus == VIRTIO { last_of(fs::canonicalize(parent).ok()?.parent()?) } else { Some(device.clone()) }
        }),
        // Both are refused for a device that is down; without a carrier the speed is -1.
        speed_mbps: is_it.then(|| number(&class.join("speed"))).flatten().filter(|speed| *speed != 0),
        duplex: is_it.then(|| text(&class.join("duplex"))).flatten().and_then(|duplex| match duplex.as_str() {
            "half" => Some(Duplex::Half),
            "full" => Some(Duplex::Full),
            _ => None,
        }),
    }
}

fn text(path: &PathBuf) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

fn number<T: FromStr>(path: &PathBuf) -> Option<T> {
    text(path)?.parse().ok()
}

fn last_of(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Makes a folder like `/sys` with a PCI NIC and a virtio NIC.
    fn sys() -> tempfile::TempDir {
        let sys = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = sys.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let link = |from: &str, to: &str| {
            let from = sys.path().join(from);
            fs::create_dir_all(from.parent().unwrap()).unwrap();
            fs::create_dir_all(sys.path().join(to)).unwrap();
            symlink(sys.path().join(to), from).unwrap();
        };
        write("class/net/eth0/ifindex", "2\n");
        write("class/net/eth0/speed", "25000\n");
        write("class/net/eth0/duplex", "full\n");
        write("class/net/eth1/ifindex", "3\n");
        write("class/net/eth1/speed", "-1\n");
        write("class/net/eth1/duplex", "unknown\n");
        link("bus/pci/devices/0000:01:00.0", "devices/pci0000:00/0000:01:00.0");
        link("devices/pci0000:00/0000:01:00.0/driver", "bus/pci/drivers/ice");
        link("bus/virtio/devices/virtio0", "devices/pci0000:00/0000:00:03.0/virtio0");
        link("devices/pci0000:00/0000:00:03.0/virtio0/driver", "bus/virtio/drivers/virtio_net");
        sys
    }

    fn place(name: &str, index: u32, parent: Option<(&str, &str)>) -> Place {
        let parent = parent.map(|(bus, device)| (bus.to_owned(), device.to_owned()));
        Place { name: IfName::parse(name).unwrap(), index, parent }
    }

    #[test]
    fn reads_speed_driver_and_place_on_the_bus() {
        let sys = sys();
        let of = |place| hardware(sys.path(), &place);
        let text = |text: &str| Some(text.to_owned());
        let ice = NicHardware {
            driver: text("ice"),
            bus_address: text("0000:01:00.0"),
            speed_mbps: Some(25_000),
            duplex: Some(Duplex::Full),
        };
        assert_eq!(of(place("eth0", 2, Some(("pci", "0000:01:00.0")))), ice);
        let virtio = NicHardware {
            driver: text("virtio_net"),
            bus_address: text("0000:00:03.0"),
            speed_mbps: None,
            duplex: None,
        };
        assert_eq!(of(place("eth1", 3, Some(("virtio", "virtio0")))), virtio);
    }

    #[test]
    fn believes_no_device_of_another_namespace_and_none_that_is_not_there() {
        let sys = sys();
        assert_eq!(hardware(sys.path(), &place("eth0", 9, None)), NicHardware::default());
        let gone = hardware(sys.path(), &place("eth9", 4, Some(("pci", "0000:09:00.0"))));
        let told = NicHardware { bus_address: Some("0000:09:00.0".to_owned()), ..NicHardware::default() };
        assert_eq!(gone, told);
    }
}
