//! libvirt's stock filters, rule by rule.
//!
//! *Source*: the filters that libvirt 9.0 installs as `nwfilter/*.xml`; a test holds this against what is installed.

use trestle_model::FilterDirection::{self, Both, In, Out};
use trestle_model::FilterEntry::Rule;
use trestle_model::{FilterAction, FilterEntry, FilterRule, NwFilter};

/// Returns every stock filter, by name.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn all() -> Vec<NwFilter> {
    vec![
        NwFilter::new("allow-arp", "arp", &[Rule(accept(Both))]),
        NwFilter::new(
            "allow-dhcp",
            "ipv4",
            &[
                Rule(accept(Out).at(100).when(
                    "ip",
                    &[
                        ("srcipaddr", "0.0.0.0"),
                        ("dstipaddr", "255.255.255.255"),
                        ("protocol", "udp"),
                        ("srcportstart", "68"),
                        ("dstportstart", "67"),
                    ],
                )),
                Rule(
                    accept(In)
                        .at(100)
                        .when("ip", &[("protocol", "udp"), ("srcportstart", "67"), ("dstportstart", "68")]),
                ),
            ],
        ),
        NwFilter::new(
            "allow-dhcp-server",
            "ipv4",
            &[
                Rule(accept(Out).at(100).when(
                    "ip",
                    &[
                        ("srcipaddr", "0.0.0.0"),
                        ("dstipaddr", "255.255.255.255"),
                        ("protocol", "udp"),
                        ("srcportstart", "68"),
                        ("dstportstart", "67"),
                    ],
                )),
                Rule(accept(In).at(100).when(
                    "ip",
                    &[
                        ("srcipaddr", "$DHCPSERVER"),
                        ("protocol", "udp"),
                        ("srcportstart", "67"),
                        ("dstportstart", "68"),
                    ],
                )),
            ],
        ),
        NwFilter::new(
            "allow-dhcpv6",
            "ipv6",
            &[
                Rule(accept(Out).at(100).when(
                    "ipv6",
                    &[
                        ("protocol", "udp"),
                        ("srcipaddr", "FE80::"),
                        ("srcipmask", "10"),
                        ("dstipaddr", "FF02::1:2"),
                        ("srcportstart", "546"),
                        ("dstportstart", "547"),
                    ],
                )),
                Rule(
                    accept(In)
                        .at(100)
                        .when("ipv6", &[("protocol", "udp"), ("srcportstart", "547"), ("dstportstart", "546")]),
                ),
            ],
        ),
        NwFilter::new(
            "allow-dhcpv6-server",
            "ipv6",
            &[
                Rule(accept(Out).at(100).when(
                    "ipv6",
                    &[
                        ("protocol", "udp"),
                        ("srcipaddr", "FE80::"),
                        ("srcipmask", "10"),
                        ("dstipaddr", "FF02::1:2"),
                        ("srcportstart", "546"),
                        ("dstportstart", "547"),
                    ],
                )),
                Rule(accept(In).at(100).when(
                    "ipv6",
                    &[
                        ("srcipaddr", "$DHCPSERVER"),
                        ("protocol", "udp"),
                        ("srcportstart", "547"),
                        ("dstportstart", "546"),
                    ],
                )),
            ],
        ),
        NwFilter::new("allow-incoming-ipv4", "ipv4", &[Rule(accept(In))]),
        NwFilter::new("allow-incoming-ipv6", "ipv6", &[Rule(accept(In))]),
        NwFilter::new("allow-ipv4", "ipv4", &[Rule(accept(Both))]),
        NwFilter::new("allow-ipv6", "ipv6", &[Rule(accept(Both))]),
        NwFilter::new(
            "clean-traffic",
            "root",
            &[
                FilterEntry::refers("no-mac-spoofing"),
                FilterEntry::refers("no-ip-spoofing"),
                Rule(accept(Out).at(-650).when("mac", &[("protocolid", "ipv4")])),
                FilterEntry::refers("allow-incoming-ipv4"),
                FilterEntry::refers("no-arp-spoofing"),
                Rule(accept(Both).at(-500).when("mac", &[("protocolid", "arp")])),
                FilterEntry::refers("no-other-l2-traffic"),
                FilterEntry::refers("qemu-announce-self"),
            ],
        ),
        NwFilter::new(
            "clean-traffic-gateway",
            "root",
            &[
                FilterEntry::refers("no-mac-spoofing"),
                FilterEntry::refers("no-ip-spoofing"),
                FilterEntry::refers("no-arp-spoofing"),
                Rule(accept(Both).at(-500).when("mac", &[("protocolid", "arp")])),
                Rule(accept(In).when("mac", &[("srcmacaddr", "$GATEWAY_MAC")])),
                Rule(accept(Out).when("mac", &[("dstmacaddr", "$GATEWAY_MAC")])),
                FilterEntry::refers("no-other-l2-traffic"),
                FilterEntry::refers("qemu-announce-self"),
            ],
        ),
        NwFilter::new(
            "no-arp-ip-spoofing",
            "arp-ip",
            &[Rule(give_back(Out).at(400).when("arp", &[("arpsrcipaddr", "$IP")])), Rule(drop(Out).at(1000))],
        )
        .ordered(-510),
        NwFilter::new(
            "no-arp-mac-spoofing",
            "arp-mac",
            &[Rule(give_back(Out).at(350).when("arp", &[("arpsrcmacaddr", "$MAC")])), Rule(drop(Out).at(1000))],
        )
        .ordered(-520),
        NwFilter::new(
            "no-arp-spoofing",
            "root",
            &[FilterEntry::refers("no-arp-mac-spoofing"), FilterEntry::refers("no-arp-ip-spoofing")],
        ),
        NwFilter::new(
            "no-ip-multicast",
            "ipv4",
            &[Rule(drop(Out).when("ip", &[("dstipaddr", "224.0.0.0"), ("dstipmask", "4")]))],
        ),
        NwFilter::new(
            "no-ip-spoofing",
            "ipv4-ip",
            &[
                Rule(give_back(Out).at(100).when("ip", &[("srcipaddr", "0.0.0.0"), ("protocol", "udp")])),
                Rule(give_back(Out).at(500).when("ip", &[("srcipaddr", "$IP")])),
                Rule(drop(Out).at(1000)),
            ],
        )
        .ordered(-710),
        NwFilter::new(
            "no-ipv6-multicast",
            "ipv6",
            &[Rule(drop(Out).when("ipv6", &[("dstipaddr", "FF00::"), ("dstipmask", "8")]))],
        ),
        NwFilter::new(
            "no-ipv6-spoofing",
            "ipv6-ip",
            &[
                Rule(
                    give_back(Out)
                        .at(100)
                        .when("ipv6", &[("srcipaddr", "FE80::"), ("srcipmask", "10"), ("protocol", "udp")]),
                ),
                Rule(give_back(Out).at(500).when("ipv6", &[("srcipaddr", "$IPV6")])),
                Rule(drop(Out).at(1000)),
            ],
        )
        .ordered(-610),
        NwFilter::new(
            "no-mac-broadcast",
            "ipv4",
            &[Rule(drop(Out).when("mac", &[("dstmacaddr", "ff:ff:ff:ff:ff:ff")]))],
        ),
        NwFilter::new(
            "no-mac-spoofing",
            "mac",
            &[Rule(give_back(Out).when("mac", &[("srcmacaddr", "$MAC")])), Rule(drop(Out).when("mac", &[]))],
        )
        .ordered(-800),
        NwFilter::new("no-other-l2-traffic", "root", &[Rule(drop(Both).at(1000))]),
        NwFilter::new("no-other-rarp-traffic", "rarp", &[Rule(drop(Both).at(1000))]),
        NwFilter::new(
            "qemu-announce-self",
            "root",
            &[
                Rule(accept(Out).when("mac", &[("protocolid", "0x835")])),
                FilterEntry::refers("qemu-announce-self-rarp"),
                FilterEntry::refers("no-other-rarp-traffic"),
            ],
        ),
        NwFilter::new(
            "qemu-announce-self-rarp",
            "rarp",
            &[
                Rule(accept(Out).at(500).when(
                    "rarp",
                    &[
                        ("opcode", "Request_Reverse"),
                        ("srcmacaddr", "$MAC"),
                        ("dstmacaddr", "ff:ff:ff:ff:ff:ff"),
                        ("arpsrcmacaddr", "$MAC"),
                        ("arpdstmacaddr", "$MAC"),
                        ("arpsrcipaddr", "0.0.0.0"),
                        ("arpdstipaddr", "0.0.0.0"),
                    ],
                )),
                Rule(accept(In).at(500).when(
                    "rarp",
                    &[
                        ("opcode", "Request_Reverse"),
                        ("dstmacaddr", "ff:ff:ff:ff:ff:ff"),
                        ("arpsrcmacaddr", "$MAC"),
                        ("arpdstmacaddr", "$MAC"),
                        ("arpsrcipaddr", "0.0.0.0"),
                        ("arpdstipaddr", "0.0.0.0"),
                    ],
                )),
            ],
        ),
    ]
}

const fn accept(direction: FilterDirection) -> FilterRule {
    FilterRule::new(FilterAction::Accept, direction)
}

const fn drop(direction: FilterDirection) -> FilterRule {
    FilterRule::new(FilterAction::Drop, direction)
}

const fn give_back(direction: FilterDirection) -> FilterRule {
    FilterRule::new(FilterAction::Return, direction)
}
