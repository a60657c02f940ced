//! Virtual functions of SR-IOV: how many there are is read and set below `/sys`, the one way there is. What was set for
//! each, netlink tells (`virtual_functions`).
//!
//! The class folder shows the network namespace of whoever mounted `/sys`: a device there is only believed where its
//! index is the one that the kernel told over netlink.
//!
//! *Source*: the kernel's `Documentation/PCI/pci-iov-howto.rst` and `Documentation/ABI/testing/sysfs-bus-pci`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use trestle_model::{IfName, VirtualFunction, VirtualFunctions};

const UPPER: &str = "upper_";

/// Reads a NIC's virtual functions below `sys`; none of what cannot have any.
pub(crate) fn read(sys: &Path, name: &IfName, index: u32) -> Option<VirtualFunctions> {
    let device = device(sys, name, index)?;
    let most = number(&device.join("sriov_totalvfs"))?;
    let count: u32 = number(&device.join("sriov_numvfs"))?;
    let functions = (0..count).map(|number| function(&device.join(format!("virtfn{number}")))).collect();
    Some(VirtualFunctions { most, functions })
}

/// Gives a NIC `count` virtual functions; drivers take seconds for it.
///
/// *Errors*: the driver's; `NotFound` for what cannot have any.
pub(crate) fn set(sys: &Path, name: &IfName, index: u32, count: u32) -> io::Result<()> {
    let device = device(sys, name, index).ok_or(io::ErrorKind::NotFound)?;
    let file = device.join("sriov_numvfs");
    // The kernel refuses a number other than 0 while there are some, also the same one.
    if number(&file) == Some(count) {
        return Ok(());
    }
    fs::OpenOptions::new()
        .write(true)
        .open(file)
        .and_then(|mut file| io::Write::write_all(&mut file, count.to_string().as_bytes()))
}

fn device(sys: &Path, name: &IfName, index: u32) -> Option<PathBuf> {
    let class = sys.join("class/net").join(name.as_str());
    (number(&class.join("ifindex")) == Some(index)).then(|| class.join("device"))
}

fn function(folder: &Path) -> VirtualFunction {
    let device = fs::read_dir(folder.join("net")).ok().and_then(|mut devices| devices.next());
    let device = device.and_then(Result::ok).and_then(|entry| IfName::parse(entry.file_name().to_str()?).ok());
    let last_of = |path: &Path| Some(fs::canonicalize(path).ok()?.file_name()?.to_str()?.to_owned());
    let uppers = device.as_ref().map(|device| uppers(&folder.join("net").join(device.as_str()))).unwrap_or_default();
    let (bus_address, driver) = (last_of(folder), last_of(&folder.join("driver")));
    VirtualFunction { bus_address, driver, device, uppers, set: None }
}

/// Returns the names of what stands on a device, whichever kind it is.
///
/// *Source*: `__netdev_adjacent_dev_insert` in the kernel's `net/core/dev.c`: a link `upper_NAME` in the device's folder.
fn uppers(device: &Path) -> Vec<String> {
    let entries = fs::read_dir(device).into_iter().flatten().filter_map(Result::ok);
    let upper = |entry: fs::DirEntry| Some(entry.file_name().to_str()?.strip_prefix(UPPER)?.to_owned());
    let mut uppers: Vec<String> = entries.filter_map(upper).collect();
    uppers.sort();
    uppers
}

fn number<T: FromStr>(path: &Path) -> Option<T> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Makes a folder like `/sys` with a physical function that has four of seven: a guest's, a program's, and one that a
    /// guest's macvtap stands on.
    fn sys() -> tempfile::TempDir {
        let sys = tempfile::tempdir().unwrap();
        let folder = |path: &str| {
            let path = sys.path().join(path);
            fs::create_dir_all(&path).unwrap();
            path
        };
        let (class, pf) = (folder("class/net/eth0"), folder("devices/0000:01:00.0"));
        fs::write(class.join("ifindex"), "2\n").unwrap();
        symlink(&pf, class.join("device")).unwrap();
        fs::write(pf.join("sriov_totalvfs"), "7\n").unwrap();
        fs::write(pf.join("sriov_numvfs"), "4\n").unwrap();
        for (number, driver) in [(0, "igbvf"), (1, "vfio-pci"), (2, "uio_pci_generic"), (3, "igbvf")] {
            let function = folder(&format!("devices/0000:01:10.{number}"));
            symlink(folder(&format!("drivers/{driver}")), function.join("driver")).unwrap();
            symlink(&function, pf.join(format!("virtfn{number}"))).unwrap();
        }
        folder("devices/0000:01:10.0/net/eth5");
        for upper in ["upper_macvtap0", "upper_br0", "lower_x", "queues"] {
            folder(&format!("devices/0000:01:10.3/net/eth6/{upper}"));
        }
        folder("class/net/lo");
        sys
    }

    fn name(text: &str) -> IfName {
        IfName::parse(text).unwrap()
    }

    #[test]
    fn reads_each_function_with_its_driver_and_its_device() {
        let sys = sys();
        let vfs = read(sys.path(), &name("eth0"), 2).unwrap();
        assert_eq!((vfs.most, vfs.count()), (7, 4));
        let [one, other, uio, carrying] = vfs.functions.as_slice() else { panic!("{vfs:?}") };
        assert_eq!((one.bus_address.as_deref(), one.driver.as_deref()), (Some("0000:01:10.0"), Some("igbvf")));
        assert_eq!((one.device.clone(), other.device.clone()), (Some(name("eth5")), None));
        assert!(other.is_passed_on() && uio.is_passed_on() && !one.is_passed_on());
        assert_eq!(
            (one.uppers.len(), carrying.uppers.as_slice()),
            (0, ["br0", "macvtap0"].map(str::to_owned).as_slice())
        );
    }

    #[test]
    fn tells_nothing_of_a_device_of_another_namespace_or_without_functions() {
        let sys = sys();
        for (nic, index) in [("eth0", 3), ("lo", 1), ("eth9", 2)] {
            assert_eq!(read(sys.path(), &name(nic), index), None, "{nic}");
            assert_eq!(set(sys.path(), &name(nic), index, 1).unwrap_err().kind(), io::ErrorKind::NotFound, "{nic}");
        }
    }

    #[test]
    fn writes_a_number_once() {
        let sys = sys();
        let file = sys.path().join("devices/0000:01:00.0/sriov_numvfs");
        set(sys.path(), &name("eth0"), 2, 4).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "4\n");
        fs::write(&file, "").unwrap();
        set(sys.path(), &name("eth0"), 2, 2).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "2");
    }
}
