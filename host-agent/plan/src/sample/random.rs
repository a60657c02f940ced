//! Random hosts and random requests, for the laws that hold of every plan on every host.

use proptest::prelude::*;
use trestle_model::{BondChange, BondMode, BondOption, BridgeNumber, Ipv6Config, NicChange};

use super::{Change, Net, bond, net, other_value, remove, remove_bond, set_nic, set_vfs, unset_nic};

/// How many NICs a random host has: `eth0`, `eth1`, and so on. Bonds are also asked of `eth7` and `eth8`, which a host may
/// have in a bond `bond7` of somebody else's.
pub const NICS: usize = 3;

/// A NIC as somebody left it.
#[derive(Debug, Clone)]
pub struct Nic {
    /// Whether it is up.
    pub up: bool,
    /// Its MTU.
    pub mtu: u32,
    /// Whether a foreign VLAN device stands on it, where it is up.
    pub vlan: bool,
    /// Whether a default route leads over it, where it has a gateway.
    pub default_route: bool,
    /// Whether a foreign static route leads over it, where it has a gateway, to a destination that networks route to, too.
    pub route: bool,
    /// Whether a DHCP server and an IPv6 router are on its segment, and on that of its VLAN 10.
    pub dhcp: bool,
    /// Whether somebody else queues what leaves it.
    pub queued: bool,
    /// Whether it is told not to listen to routers.
    pub deaf: bool,
    /// Numbers below 6, each an address.
    addresses: Vec<u8>,
}

/// An address that a NIC has.
#[derive(Debug, Clone)]
pub struct Held {
    /// The address with its prefix.
    pub net: String,
    /// Whether it ends by itself.
    pub leased: bool,
}

/// Changes that are asked for at once, and the guests that then come: each on the bridge of a network, by number.
pub type Round = (Vec<Change>, Vec<u8>);

/// What somebody does to the MAC tables of bridges that libvirt manages; a guest is one of those there, by number.
#[derive(Debug, Clone, Copy)]
pub enum Meddling {
    /// Switches filtering by VLAN off.
    FilterOff,
    /// Takes the default VLAN away.
    NoDefaultVlan,
    /// Lets uplinks learn and not flood.
    Uplinks,
    /// Removes every entry.
    Flush,
    /// Lets a guest's port learn and flood.
    Port(u8),
    /// Takes a guest's tap out and puts it back.
    Tap(u8),
    /// Takes a guest's tap out and leaves it out.
    Stray(u8),
    /// Moves a guest's entry to the uplink.
    Roam(u8),
    /// Learns a guest's MAC on the uplink.
    Learn(u8),
    /// Takes a guest's port, or the uplinks, out of the default VLAN.
    Vlan(Option<u8>),
    /// Makes a guest's port a member of a VLAN of somebody else's.
    ForeignVlan(u8),
    /// Stops a guest's CPUs.
    Pause(u8),
}

/// Returns what somebody does.
pub fn meddlings() -> impl Strategy<Value = Vec<Meddling>> {
    let guest = || 0_u8..4;
    let one = prop_oneof![
        Just(Meddling::FilterOff),
        Just(Meddling::NoDefaultVlan),
        Just(Meddling::Uplinks),
        Just(Meddling::Flush),
        guest().prop_map(Meddling::Port),
        guest().prop_map(Meddling::Tap),
        guest().prop_map(Meddling::Stray),
        guest().prop_map(Meddling::Roam),
        guest().prop_map(Meddling::Learn),
        proptest::option::of(guest()).prop_map(Meddling::Vlan),
        guest().prop_map(Meddling::ForeignVlan),
        guest().prop_map(Meddling::Pause),
    ];
    proptest::collection::vec(one, 1..4)
}

impl Nic {
    /// Returns the addresses of the NIC with this number: of two networks and of both families, some secondary, some
    /// leased.
    pub fn held(&self, number: u32) -> Vec<Held> {
        let held = |address: &u8| {
            let (net, leased) = match address {
                0..=2 => (format!("172.16.{number}.{}/24", address + 1), false),
                3 => (format!("172.17.{number}.9/24"), true),
                4 => (format!("172.18.{number}.1/30"), false),
                _ if self.up => (format!("2001:db8:{number}::9/64"), false),
                _ => return None,
            };
            Some(Held { net, leased })
        };
        self.addresses.iter().filter_map(held).collect()
    }

    /// Returns the neighbour of the NIC with this number that routes lead over, where it can have one.
    pub fn gateway(&self, number: u32) -> Option<String> {
        let reaches = self.up && self.addresses.iter().any(|address| *address < 3);
        reaches.then(|| format!("172.16.{number}.254"))
    }
}

/// Returns the NICs of a host.
pub fn nics() -> impl Strategy<Value = Vec<Nic>> {
    proptest::collection::vec(nic(), NICS)
}

/// Returns what is asked of a host, one round after the other.
pub fn rounds() -> impl Strategy<Value = Vec<Round>> {
    let guests = proptest::collection::vec(0_u8..4, 0..3);
    proptest::collection::vec((proptest::collection::vec(change(), 1..5), guests), 1..5)
}

fn nic() -> impl Strategy<Value = Nic> {
    let addresses = proptest::collection::vec(0_u8..6, 0..4);
    let mtu = prop_oneof![Just(1500), Just(4000)];
    (mtu, addresses, any::<[bool; 6]>(), 0_u8..4).prop_map(
        |(mtu, addresses, [up, default_route, vlan, route, dhcp, deaf], queue)| Nic {
            up,
            mtu,
            addresses,
            default_route,
            vlan,
            route,
            queued: queue == 0,
            dhcp,
            deaf,
        },
    )
}

fn change() -> impl Strategy<Value = Change> {
    let bond = || prop_oneof![2 => Just("bond0"), 1 => Just("bond1"), 1 => Just("bond7")];
    prop_oneof![
        12 => (0_u8..4).prop_flat_map(network).prop_map(|network| network.set().into()),
        3 => (0_u8..4).prop_map(|number| remove(&format!("n{number}")).into()),
        4 => bond().prop_flat_map(bonded).prop_map(Change::Bond),
        1 => bond().prop_map(|bond| remove_bond(bond).into()),
        2 => settings().prop_map(Change::Nic),
        1 => (0_u8..3, 0_u32..4).prop_map(|(nic, count)| Change::Nic(set_vfs(&format!("eth{nic}"), count))),
        1 => (0_u8..3).prop_map(|nic| unset_nic(&format!("eth{nic}")).into()),
    ]
}

fn settings() -> impl Strategy<Value = NicChange> {
    // Generic segmentation is not among them: a NIC that cannot gather takes the wish, and never has it in force.
    const FEATURES: [&str; 4] = ["rx-gro", "tx-checksum-ip-generic", "tx-tcp-segmentation", "tx-udp-segmentation"];
    let rings = proptest::option::weighted(0.3, 1_u32..5);
    let features = proptest::collection::btree_map(proptest::sample::select(FEATURES.to_vec()), any::<bool>(), 0..3);
    (0_u8..3, rings.clone(), rings, features).prop_map(|(nic, rx, tx, features)| {
        let length = |number: Option<u32>| number.map(|number| 64 * number);
        // What needs checksums is not asked for without them: verification would undo that.
        let sums = features.get("tx-checksum-ip-generic") != Some(&false);
        let fits = |(name, on): &(&str, bool)| sums || !(name.ends_with("-segmentation") && *on);
        let features: Vec<(&str, bool)> = features.into_iter().filter(fits).collect();
        set_nic(&format!("eth{nic}"), length(rx), length(tx), &features)
    })
}

fn bonded(name: &'static str) -> impl Strategy<Value = BondChange> {
    let nics = Just(["eth0", "eth1", "eth2", "eth7", "eth8"]).prop_shuffle();
    let mode = prop_oneof![
        3 => Just(BondMode::ActiveBackup),
        3 => Just(BondMode::Lacp),
        2 => Just(BondMode::BalanceXor),
        1 => proptest::sample::select(BondMode::ALL.to_vec()),
    ];
    let options = (0_u32..2, 0_u32..3, any::<bool>(), any::<bool>());
    (nics, 1_usize..4, mode, options).prop_map(move |(nics, count, mode, (flag, number, primary, hwaddr))| {
        let nics: Vec<&str> = nics.into_iter().take(count).collect();
        let mut described = bond(name, mode, &nics).option(BondOption::Miimon, 50 * (1 + flag));
        let some = [
            (BondOption::LacpRate, flag),
            (BondOption::AdSelect, number),
            (BondOption::FailOverMac, number),
            (BondOption::Updelay, 100 * number),
            (BondOption::XmitHashPolicy, number),
            (BondOption::TlbDynamicLb, flag),
        ];
        for (option, number) in some.into_iter().filter(|(option, _)| option.applies_to(mode)) {
            described = described.option(option, number);
        }
        if primary && mode.has_primary() {
            described = nics.first().into_iter().fold(described, |described, nic| described.primary(nic));
        }
        if hwaddr && !described.0.options.follows_active_mac() {
            described = described.hwaddr("06:00:00:00:00:aa");
        }
        described.set()
    })
}

/// How a network has IPv6.
#[derive(Debug, Clone)]
enum Ipv6 {
    None,
    Static,
    By(Ipv6Config),
}

fn network(number: u8) -> impl Strategy<Value = Net> {
    let place = (0_u8..7, prop_oneof![Just(None), Just(Some(10)), Just(Some(20))]);
    let kind = (0_u8..4, any::<bool>(), prop_oneof![Just(1500), Just(1400), Just(1000), Just(4000)]);
    let ipv6 = prop_oneof![
        4 => Just(Ipv6::None),
        4 => Just(Ipv6::Static),
        2 => Just(Ipv6::By(Ipv6Config::Auto)),
        1 => Just(Ipv6::By(Ipv6Config::Dhcp)),
        1 => Just(Ipv6::By(Ipv6Config::AutoAndDhcp)),
    ];
    let address = (0_u8..7, ipv6, any::<bool>(), any::<bool>(), any::<bool>());
    let rates = prop_oneof![1 => Just(None), 1 => (1_u64..3, 0_u64..3, 0_u64..2).prop_map(Some)];
    let guarded = any::<[bool; 4]>();
    let attributes = (place, kind, address, rates, guarded);
    attributes.prop_map(move |((nic, vlan), (topology, managed, mtu), address, rates, guarded)| {
        let (address, ipv6, default_route, routed, gated) = address;
        let mut network = net(&format!("n{number}")).mtu(mtu);
        if nic < 6 {
            network = match nic {
                0..=2 => network.on(&format!("eth{nic}")),
                3 => network.on_bond("bond0"),
                4 => network.on_bond("bond1"),
                _ => network.on_bond("bond7"),
            };
            network = vlan.into_iter().fold(network, Net::vlan);
            if topology == 0 {
                network = network.bridgeless();
            }
            if let Some((share, limit, committed)) = rates {
                let given = |rate: u64| Some(rate * 10_000).filter(|rate| *rate > 0);
                network = network.qos(share * 5_000, given(limit), given(committed));
            }
        }
        let (first, second) = (format!("10.{number}.0.2/24"), format!("10.{number}.0.3/24"));
        let gateway = format!("10.{number}.0.1");
        let gateway = Some(gateway.as_str()).filter(|_| default_route || gated);
        network = match address {
            0 => network,
            1 => network.ipv4(&[&first], gateway),
            2 => network.ipv4(&[&first, &second], gateway),
            3 => network.ipv4(&[&second, &first], gateway),
            4 => network.ipv4(&[&first, &format!("10.{number}.128.1/24"), &second], gateway),
            _ => network.dhcp(),
        };
        if default_route && address > 0 {
            network = network.default_route();
            if gated {
                network = network.nameserver(&format!("10.{number}.0.53"));
            }
            if routed {
                network = network.search(&format!("net{number}.example"));
            }
        }
        let ipv6 = if mtu < 1280 { Ipv6::None } else { ipv6 };
        let speaks_ipv6 = !matches!(ipv6, Ipv6::None);
        network = match ipv6 {
            Ipv6::None => network,
            Ipv6::Static => network.ipv6(&[&format!("2001:db8:10{number}::2/64")], Some("fe80::1").filter(|_| gated)),
            Ipv6::By(config) => network.ipv6_by(config),
        };
        if routed && (1..5).contains(&address) {
            let hop = format!("10.{number}.0.7");
            network = network.route(&format!("100.{}.0.0/16", 64 + number), &hop, 0);
            network = network.route("100.99.0.0/16", &hop, u32::from(number));
        }
        if routed && speaks_ipv6 {
            network = network.route(&format!("2001:db8:20{number}::/48"), "fe80::7", 0);
        }
        if managed && topology > 0 {
            network = network.managed();
            if guarded[0] {
                network = network.locked();
            }
            // The first guests of each round: with no VLAN, with one, and with two.
            for (nic, _) in guarded.into_iter().skip(1).enumerate().filter(|(_, allows)| *allows) {
                let (extra, vlans) = (format!("02:00:00:00:0{number}:0{nic}"), [30, 31].into_iter().take(nic));
                let vlans: Vec<u32> = vlans.collect();
                network = network.allowing(&format!("52:54:00:00:0{nic}:00"), &[&extra], &vlans);
            }
        }
        network.bridge(|bridge| {
            bridge.stp = topology == 2;
            bridge.options.priority = (topology == 3).then_some(4096);
            // What the kernel rounds, and one of the rarer options.
            bridge.options.hello_time_cs = (topology == 2).then_some(201);
            let rarer = BridgeNumber::ALL.get(usize::from(number)).copied().filter(|_| topology == 3);
            bridge.options.numbers = rarer.map(other_value).into_iter().collect();
        })
    })
}
