//! The floors: `ip -batch` doing the plan's own work, one dump of the tables, and `ip -d -j` of them.

use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use host_agent::bus::Bus;
use host_agent::host::RealHost;
use host_agent::leases::Settlement;
use host_agent::nameservers::NameServers;
use host_agent::resolver::Resolver;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use trestle_dhcp::Dhcp;
use trestle_model::{AcceptRa, HostConfig, Origin, TransactionId};
use trestle_plan::{BridgeChange, Host as _, KernelStep, PortChange, Step};
use trestle_proto::host_wire::{SetupContext, parse_setup};
use uuid::Uuid;

use crate::measure::{Measured, Start, Whose, quiet};
use crate::scene::{Scene, batch};

/// How often what is cheap is measured.
const REPEATS: usize = 5;
/// What `ip` and its siblings are asked, to tell the tables that the agent reads.
const TABLES: [(&str, &[&str]); 8] = [
    ("ip", &["link"]),
    ("ip", &["address"]),
    ("ip", &["-4", "route"]),
    ("ip", &["-6", "route"]),
    ("ip", &["-4", "rule"]),
    ("ip", &["-6", "rule"]),
    ("bridge", &["fdb", "show"]),
    ("tc", &["qdisc"]),
];

/// The plan as `ip` and files carry it out.
#[derive(Default)]
struct Batch {
    /// Devices are made.
    first: Vec<String>,
    /// Files below `/proc/sys`, which `ip` cannot write: the same kernel work by other means.
    files: Vec<(String, &'static str)>,
    /// All the rest.
    then: Vec<String>,
}

/// Measures the floors in this namespace.
pub(crate) async fn measure(scene: &Scene) -> Result<Measured> {
    scene.prepare()?;
    let (dhcp, resolver) =
        (Dhcp::new(Uuid::nil(), Vec::new()), NameServers::alone(Resolver::new("/nonexistent".into(), Bus::default())));
    let host = RealHost::connect("floor".to_owned(), None, dhcp, Settlement::alone(), resolver).await?;
    let steps = plan(scene, &host).await?;
    ensure!(!steps.is_empty(), "nothing to do");
    let work = Batch::of(&steps)?;
    let mut measured = Measured::new();

    quiet().await?;
    let start = Start::now(Whose::Ours)?;
    batch(&work.first)?;
    for (path, text) in &work.files {
        std::fs::write(path, text).with_context(|| path.clone())?;
    }
    batch(&work.then)?;
    measured.insert("ip -batch".to_owned(), start.stop()?);
    let left = plan(scene, &host).await?;
    ensure!(left.is_empty(), "ip -batch did other work than the plan: {left:?} are left");

    quiet().await?;
    let socket = Socket::new(NETLINK_ROUTE)?;
    for repeat in 0..REPEATS {
        let start = Start::now(Whose::Ours)?;
        let bytes = dump(&socket)?;
        measured.insert(format!("dump, unread {repeat}"), start.stop()?);
        ensure!(bytes > scene.count * 500, "the dump is too short: {bytes} bytes");
        let start = Start::now(Whose::Ours)?;
        for (program, table) in TABLES {
            told(program, table)?;
        }
        measured.insert(format!("ip -d -j {repeat}"), start.stop()?);
        let start = Start::now(Whose::Ours)?;
        let state = host.observe().await?;
        measured.insert(format!("observe {repeat}"), start.stop()?);
        ensure!(state.kernel.links.len() > scene.count, "links are missing");
    }
    Ok(measured)
}

/// Plans the scene's request on what is there, as the agent does.
async fn plan(scene: &Scene, host: &RealHost) -> Result<Vec<Step>> {
    let context = SetupContext { origin: Origin::Local, fresh: TransactionId(uuid::Uuid::nil()) };
    let request = parse_setup(&scene.request(), context).map_err(|findings| anyhow::anyhow!("{findings:?}"))?;
    let observed = host.observe().await?;
    let start = Start::now(Whose::Ours)?;
    let plan = trestle_plan::plan(&request, &HostConfig::default(), &observed);
    eprintln!("  planned in {:.1} ms", start.stop()?.wall);
    Ok(plan.map_err(|findings| anyhow::anyhow!("{findings:?}"))?.bare_steps())
}

/// Reads the tables that the agent reads, and does not look at them; returns their length.
fn dump(socket: &Socket) -> Result<usize> {
    const LINK: u16 = 18;
    const ADDRESS: u16 = 22;
    const ROUTE: u16 = 26;
    const NEIGHBOUR: u16 = 30;
    const RULE: u16 = 34;
    const QUEUEING: u16 = 38;
    // Kind, family, length of the fixed header, and for links the mask that leaves out counters.
    let tables = [
        (LINK, 0, 16),
        (ADDRESS, 2, 8),
        (ADDRESS, 10, 8),
        (ROUTE, 2, 12),
        (ROUTE, 10, 12),
        (RULE, 2, 12),
        (RULE, 10, 12),
        (NEIGHBOUR, 7, 12),
        (QUEUEING, 0, 20),
    ];
    let mut bytes = 0;
    let mut buffer = Vec::with_capacity(65_536);
    for (kind, family, header) in tables {
        let mut body = vec![0_u8; header];
        body[0] = family;
        if kind == LINK {
            body.extend([8, 0, 29, 0, 8, 0, 0, 0]);
        }
        let mut message = u32::try_from(16 + body.len())?.to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.extend(0x301_u16.to_ne_bytes());
        message.extend([0; 8]);
        message.extend(body);
        socket.send_to(&message, &SocketAddr::new(0, 0), 0).with_context(|| format!("fd {}", socket.as_raw_fd()))?;
        loop {
            buffer.clear();
            let length = socket.recv(&mut buffer, 0)?;
            bytes += length;
            // The end is the last message of its datagram, or alone in one.
            if is_last(&buffer[..length]) {
                break;
            }
        }
    }
    Ok(bytes)
}

fn is_last(mut datagram: &[u8]) -> bool {
    const DONE: u16 = 3;
    while let (Some(length), Some(kind)) = (datagram.first_chunk::<4>(), datagram.get(4..6)) {
        if kind == DONE.to_ne_bytes() || kind == 2_u16.to_ne_bytes() {
            return true;
        }
        let length = u32::from_ne_bytes(*length).next_multiple_of(4) as usize;
        datagram = datagram.get(length..).unwrap_or_default();
    }
    false
}

fn told(program: &str, table: &[&str]) -> Result<()> {
    let status = Command::new(program).args(["-d", "-j"]).args(table).stdout(Stdio::null()).status()?;
    ensure!(status.success(), "{program} {table:?}: {status}");
    Ok(())
}

impl Batch {
    fn of(steps: &[Step]) -> Result<Self> {
        let mut batch = Self::default();
        for step in steps {
            let Step::Kernel(step) = step else { anyhow::bail!("{step} is not the kernel's") };
            batch.add(step).with_context(|| format!("{step} cannot be said to ip"))?;
        }
        Ok(batch)
    }

    fn add(&mut self, step: &KernelStep) -> Option<()> {
        let switch = |on: bool| if on { "up" } else { "down" };
        match step {
            KernelStep::CreateBridge { name, mac, alias } => {
                let mac = mac.map(|mac| format!("address {mac} ")).unwrap_or_default();
                self.first.push(format!("link add name {name} {mac}type bridge"));
                self.first.push(format!("link set dev {name} alias {alias}"));
            }
            KernelStep::CreateVlan { name, base, id, alias } => {
                self.first.push(format!("link add link {base} name {name} type vlan id {id}"));
                self.first.push(format!("link set dev {name} alias {alias}"));
            }
            KernelStep::SetIpv6Disabled { link, disabled } => {
                let text = if *disabled { "1" } else { "0" };
                self.files.push((format!("/proc/sys/net/ipv6/conf/{link}/disable_ipv6"), text));
            }
            KernelStep::SetAutoconf { link, change } => {
                let file = |setting: &str| format!("/proc/sys/net/ipv6/conf/{link}/{setting}");
                let switch = |on| if on { "1" } else { "0" };
                self.files.extend(change.accept_ra.map(|accept_ra| {
                    let text = match accept_ra {
                        AcceptRa::Never => "0",
                        AcceptRa::UnlessForwarding => "1",
                        AcceptRa::Always => "2",
                    };
                    (file("accept_ra"), text)
                }));
                self.files.extend(change.accept_ra_defrtr.map(|on| (file("accept_ra_defrtr"), switch(on))));
                self.files.extend(change.autoconf.map(|on| (file("autoconf"), switch(on))));
            }
            KernelStep::SetAlias { link, alias } => {
                self.then.push(format!("link set dev {link} alias {}", alias.as_deref().unwrap_or("''")));
            }
            KernelStep::SetMac { link, mac } => self.then.push(format!("link set dev {link} address {mac}")),
            KernelStep::SetMtu { link, mtu } => self.then.push(format!("link set dev {link} mtu {mtu}")),
            // A NIC comes up before a VLAN on it is made, and its order to the rest does not matter here.
            KernelStep::SetUp { link, up } => self.then.push(format!("link set dev {link} {}", switch(*up))),
            KernelStep::SetMaster { link, master: Some(master) } => {
                self.then.push(format!("link set dev {link} master {master}"));
            }
            KernelStep::SetMaster { link, master: None } => self.then.push(format!("link set dev {link} nomaster")),
            KernelStep::SetBridge { bridge, change } => {
                self.then.push(format!("link set dev {bridge} type bridge{}", options(change)));
            }
            KernelStep::SetPort { port, change } => {
                self.then.push(format!("link set dev {port} type bridge_slave{}", flags(change)));
            }
            _ => return None,
        }
        Some(())
    }
}

fn options(change: &BridgeChange) -> String {
    [
        ("stp_state", change.stp.map(u32::from)),
        ("ageing_time", change.ageing_time_cs),
        ("forward_delay", change.forward_delay_cs),
        ("hello_time", change.hello_time_cs),
        ("max_age", change.max_age_cs),
        ("priority", change.priority.map(u32::from)),
        ("mcast_snooping", change.multicast_snooping.map(u32::from)),
        ("mcast_querier", change.multicast_querier.map(u32::from)),
        ("group_fwd_mask", change.group_fwd_mask.map(u32::from)),
        ("vlan_filtering", change.vlan_filtering.map(u32::from)),
        ("vlan_default_pvid", change.default_pvid.map(u32::from)),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some(format!(" {name} {}", value?)))
    .collect()
}

fn flags(change: &PortChange) -> String {
    [
        ("learning", change.learning),
        ("flood", change.flood),
        ("mcast_flood", change.multicast_flood),
        ("bcast_flood", change.broadcast_flood),
        ("isolated", change.isolated),
        ("locked", change.locked),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some(format!(" {name} {}", if value? { "on" } else { "off" })))
    .collect()
}
