//! The host under proof: how it is read, cleared and laid out.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use host_agent::bus::Bus;
use host_agent::host::RealHost;
use host_agent::leases::Settlement;
use host_agent::nameservers::NameServers;
use host_agent::resolver::Resolver;
use tokio::process::Command;
use tokio::time::{Instant, sleep};
use trestle_dhcp::Dhcp;
use trestle_model::{Feature, HostState, Support};
use trestle_plan::sample::random::{NICS, Nic};
use trestle_plan::sample::settled;
use trestle_plan::{DhcpStep, Host, LibvirtStep, PlannedStep, Step};
use uuid::Uuid;

/// How long the kernel may take to settle.
const SETTLE: Duration = Duration::from_secs(5);
const REST: Duration = Duration::from_millis(20);
/// How often a step is tried whose failure may pass, as the agent does.
const TRIES: u32 = 4;

/// The variable that names libvirt's URI where the host has one: never that of the machine around a namespace.
const LIBVIRT: &str = "TRESTLE_PROOFS_LIBVIRT";

/// Connects to the host, with libvirt where it has one.
pub(crate) async fn connect() -> Result<RealHost> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let libvirt = std::env::var(LIBVIRT).ok().map(|uri| trestle_libvirt::Options {
        uri,
        call_timeout: Duration::from_secs(30),
        poll_period: Duration::from_millis(200),
    });
    let resolver = NameServers::alone(Resolver::new(resolv_conf()?, Bus::default()));
    let dhcp = Dhcp::new(Uuid::nil(), Vec::new());
    Ok(RealHost::connect(release.trim().to_owned(), libvirt, dhcp, Settlement::alone(), resolver).await?)
}

/// The file of this network namespace, for all processes of a proof; never that of the machine around it.
fn resolv_conf() -> Result<PathBuf> {
    let namespace = std::fs::read_link("/proc/self/ns/net")?;
    let number: String = namespace.display().to_string().chars().filter(char::is_ascii_digit).collect();
    Ok(std::env::temp_dir().join(format!("trestle-proofs-{number}.resolv.conf")))
}

/// Runs a script, which must succeed.
pub(crate) async fn run(script: &str) -> Result<String> {
    let output = Command::new("bash").args(["-e", "-c", script]).output().await?;
    ensure!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// Takes everything off the host that is not a NIC, and brings the NICs into one state.
pub(crate) async fn clear(host: &RealHost) -> Result<()> {
    match std::fs::remove_file(resolv_conf()?) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        Ok(()) | Err(_) => {}
    }
    let state = host.observe().await?;
    for network in state.libvirt.iter().flat_map(|libvirt| libvirt.networks.values()) {
        if network.owner.is_some() {
            let name = network.name.clone();
            let mut steps: Vec<Step> = vec![LibvirtStep::Undefine { name: name.clone() }.into()];
            if network.active {
                steps.insert(0, LibvirtStep::Stop { name }.into());
            }
            host.perform(&steps).await?;
        }
    }
    for client in state.dhcp {
        let stop = DhcpStep::Stop { link: client.spec.link, family: client.spec.family };
        host.perform(&[stop.into()]).await?;
    }
    run(&cleared()).await.map(drop)
}

/// The script that clears devices, rules and NICs, with few processes: starting one takes longest of all under emulation.
fn cleared() -> String {
    let [mut up, mut unqueued, mut batch, mut rest] = [const { String::new() }; 4];
    for number in 0..NICS {
        let nic = format!("eth{number}");
        // A queueing discipline that is taken off a NIC makes place for the kernel's own while the NIC is up, and for none
        // while it is down: that one comes when the NIC is next up, and no undo takes it off again.
        up += &format!("link set {nic} up\n");
        unqueued += &format!("qdisc del dev {nic} root\n");
        batch += &format!(
            "link set {nic} nomaster down\naddress flush dev {nic}\n\
             link set {nic} mtu 1400 alias ''\nlink set {nic} mtu 1500\n"
        );
        rest += &format!(
            "ethtool -K {nic} rx-gro on tx-checksum-ip-generic on tx-tcp-segmentation on tx-udp-segmentation off 2>/dev/null || true\n\
             cd /proc/sys/net/ipv6/conf/{nic}; echo 0 >disable_ipv6; echo 1 >accept_ra; echo 1 >accept_ra_defrtr; \
             echo 1 >autoconf; echo 0 >addr_gen_mode; echo 0 >accept_dad\n"
        );
    }
    // Duplicates are looked for in tests of their own: here nobody waits for that.
    rest += "cd ..; echo 0 >default/accept_dad; echo 0 >all/accept_dad\n";
    let devices = "for link in $(ls /sys/class/net); do case $link in lo|bonding_masters|eth[0-9]|wire[0-9]) ;; \
                   *) echo link delete $link;; esac; done | ip -force -batch - 2>/dev/null || true\n\
                   for family in -4 -6; do echo 'rule flush protocol 116\nrule flush protocol 117' | ip $family -batch -; done\n";
    format!(
        "{devices}ip -batch - <<'end'\n{up}end\ntc -force -batch - 2>/dev/null <<'end' || true\n{unqueued}end\n\
         ip -batch - <<'end'\n{batch}end\n{rest}"
    )
}

/// Leaves the host's NICs as somebody else would, with a bridge of that somebody beside them.
pub(crate) async fn lay_out(host: &RealHost, nics: &[Nic]) -> Result<()> {
    let has_vlans = supports(&host.observe().await?, Feature::VlanDevices);
    let mut script =
        "ip link add virbr0 type bridge; ip address add 192.168.122.1/24 dev virbr0; ip link set virbr0 up\n\
                      ip link add far9 type veth peer name near9; ip link set near9 master virbr0 up\n"
            .to_owned();
    for (number, nic) in (0_u32..).zip(nics) {
        let name = format!("eth{number}");
        script += &format!("ip link set {name} mtu {}\n", nic.mtu);
        if nic.up {
            script += &format!("ip link set {name} up\n");
        }
        if nic.deaf {
            script += &format!("echo 0 >/proc/sys/net/ipv6/conf/{name}/accept_ra\n");
        }
        for held in nic.held(number) {
            let lease = if held.leased { "valid_lft 3600 preferred_lft 3600" } else { "" };
            // The same address may come twice.
            script += &format!("ip address replace {} dev {name} {lease}\n", held.net);
        }
        if nic.queued {
            script += &format!("tc qdisc add dev {name} root pfifo\n");
        }
        if let Some(gateway) = nic.gateway(number) {
            if nic.default_route {
                script += &format!("ip route add default via {gateway} dev {name} metric {}\n", 100 + number);
            }
            if nic.route {
                script += &format!("ip route add 100.99.0.0/16 via {gateway} dev {name} metric {number}\n");
            }
        }
        if nic.vlan && nic.up && has_vlans {
            script += &format!("ip link add lan{number} link {name} type vlan id 99; ip link set lan{number} up\n");
        }
    }
    run(&script).await.map(drop)
}

/// Tells whether the host has a feature.
pub(crate) fn supports(state: &HostState, feature: Feature) -> bool {
    matches!(state.features.0.get(&feature), Some(Support::Present))
}

/// Performs steps as the agent does: one by one, again where a failure may pass.
pub(crate) async fn perform(host: &RealHost, steps: &[PlannedStep]) -> Result<()> {
    for planned in steps {
        let mut left = TRIES;
        loop {
            left -= 1;
            match host.perform(std::slice::from_ref(&planned.step)).await {
                Ok(()) => break,
                Err(failure) if failure.transient && left > 0 => sleep(REST).await,
                Err(failure) => return Err(failure.into()),
            }
        }
    }
    Ok(())
}

/// Waits until `wrong` finds nothing in the host's state.
///
/// *Errors*: what it found last.
pub(crate) async fn until(host: &RealHost, wrong: impl Fn(&HostState) -> Option<String>) -> Result<HostState> {
    let end = Instant::now() + SETTLE;
    loop {
        let state = host.observe().await?;
        match wrong(&state) {
            None => return Ok(state),
            Some(fault) => ensure!(Instant::now() < end, "{fault}"),
        }
        sleep(REST).await;
    }
}

/// Waits until new IPv6 addresses are probed.
pub(crate) async fn settle() -> Result<()> {
    let end = Instant::now() + SETTLE;
    while !run("ip -6 address show tentative").await?.is_empty() {
        ensure!(Instant::now() < end, "addresses stay tentative");
        sleep(REST).await;
    }
    Ok(())
}

/// Says where two states differ, past the kernel's noise and the order in which routes are listed.
pub(crate) fn difference(found: &HostState, expected: &HostState) -> Option<String> {
    let (found, expected) = (sorted(found.clone()), sorted(expected.clone()));
    if found == expected {
        return None;
    }
    let (found, expected) = (format!("{found:#?}"), format!("{expected:#?}"));
    let (found, expected): (Vec<&str>, Vec<&str>) = (found.lines().collect(), expected.lines().collect());
    let same = found.iter().zip(&expected).take_while(|(one, two)| one == two).count();
    let (head, found, expected) = (&found[same.saturating_sub(30)..same], &found[same..], &expected[same..]);
    let alike = found.iter().rev().zip(expected.iter().rev()).take_while(|(one, two)| one == two).count();
    let marked = |lines: &[&str], sign: &str| {
        let shown = lines[..lines.len() - alike].iter().take(40);
        shown.map(|line| format!("{sign} {line}\n")).collect::<String>()
    };
    let head: String = head.iter().map(|line| format!("  {line}\n")).collect();
    Some(format!("the host differs (- expected, + found):\n{head}{}{}", marked(expected, "-"), marked(found, "+")))
}

/// A state without noise.
pub(crate) fn sorted(state: HostState) -> HostState {
    let mut state = settled(state);
    state.kernel.routes.sort_by_key(|route| format!("{route:?}"));
    state.kernel.fdb.sort_by_key(|entry| format!("{entry:?}"));
    state
}
