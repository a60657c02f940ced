//! What this machine can do for the tests, found by trying, and the words with which a test is skipped.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};

use super::namespace::Namespace;

/// Environment variable that turns every skip into a failure when it is `required`.
const SKIP_POLICY: &str = "TRESTLE_LAB";

/// Prints why `story` is skipped.
///
/// *Errors*: always, when the environment says `TRESTLE_LAB=required`.
pub fn skip(story: &str, reason: &str) -> Result<()> {
    if std::env::var(SKIP_POLICY).is_ok_and(|policy| policy == "required") {
        bail!("{story} cannot be skipped: {reason}");
    }
    eprintln!("skipped: {story}: {reason}");
    Ok(())
}

/// Whether virtual machines can run here; the error is the reason why not.
pub fn machines() -> Result<(), String> {
    for (program, package) in [
        ("qemu-system-x86_64", "qemu-system-x86"),
        ("busybox", "busybox-static"),
        ("cpio", "cpio"),
        ("modprobe", "kmod"),
        ("mkfs.ext4", "e2fsprogs"),
        ("setpriv", "util-linux"),
    ] {
        needs(program, package)?;
    }
    if !cfg!(target_arch = "x86_64") {
        return Err("the machines' kernel is for x86_64".to_owned());
    }
    Ok(())
}

/// Whether libvirt's daemon and client are installed; machines see them too.
pub fn libvirt() -> Result<(), String> {
    needs("libvirtd", "libvirt-daemon-system")?;
    needs("virtlogd", "libvirt-daemon-system")?;
    needs("virsh", "libvirt-clients")
}

/// Whether network namespaces can be made here.
pub async fn namespaces() -> Result<(), String> {
    needs("unshare", "util-linux")?;
    needs("ip", "iproute2")?;
    Namespace::start().await.map(drop).map_err(|error| format!("no network namespaces: {error:#}"))
}

/// Whether this machine's own kernel filters VLANs on bridges; build machines' often do not.
pub async fn bridge_vlan_filtering() -> Result<(), String> {
    kernel_link("type bridge vlan_filtering 1").await
}

/// Whether this machine's own kernel has a kind of link, in the words of `ip link add probe …`.
pub async fn kernel_link(words: &str) -> Result<(), String> {
    namespaces().await?;
    let tried = async {
        let namespace = Namespace::start().await?;
        let output = namespace.exec(&format!("ip link add probe {words}"), Duration::from_secs(10)).await?;
        output.success()
    };
    tried.await.map(drop).map_err(|error| format!("this kernel has no {words}: {error:#}"))
}

/// Looks for a program where root would find it.
fn needs(program: &str, package: &str) -> Result<(), String> {
    let path = std::env::var("PATH").unwrap_or_default();
    let found = path
        .split(':')
        .chain(["/usr/sbin", "/sbin", "/usr/bin"])
        .any(|folder| Path::new(folder).join(program).exists());
    if found { Ok(()) } else { Err(format!("{program} is missing (package {package}; run scripts/setup)")) }
}
