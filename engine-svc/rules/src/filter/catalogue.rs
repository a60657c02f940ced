//! libvirt's stock filters, rule by rule.
//!
//! *Source*: the filters that libvirt 9.0 installs as `nwfilter/*.xml`; a test holds this against what is installed.

use super::Direction::{Both, In, Out};
use super::Entry::{Refers, Rule};
use super::{StockFilter, accept, drop, filter, give_back};

/// Every stock filter, by name.
pub(super) const CATALOGUE: &[StockFilter] = &[
    filter("allow-arp", "arp", &[Rule(accept(Both))]),
    filter(
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
            Rule(accept(In).at(100).when("ip", &[("protocol", "udp"), ("srcportstart", "67"), ("dstportstart", "68")])),
        ],
    ),
    filter(
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
                &[("srcipaddr", "$DHCPSERVER"), ("protocol", "udp"), ("srcportstart", "67"), ("dstportstart", "68")],
            )),
        ],
    ),
    filter(
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
    filter(
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
                &[("srcipaddr", "$DHCPSERVER"), ("protocol", "udp"), ("srcportstart", "547"), ("dstportstart", "546")],
            )),
        ],
    ),
    filter("allow-incoming-ipv4", "ipv4", &[Rule(accept(In))]),
    filter("allow-incoming-ipv6", "ipv6", &[Rule(accept(In))]),
    filter("allow-ipv4", "ipv4", &[Rule(accept(Both))]),
    filter("allow-ipv6", "ipv6", &[Rule(accept(Both))]),
    filter(
        "clean-traffic",
        "root",
        &[
            Refers("no-mac-spoofing"),
            Refers("no-ip-spoofing"),
            Rule(accept(Out).at(-650).when("mac", &[("protocolid", "ipv4")])),
            Refers("allow-incoming-ipv4"),
            Refers("no-arp-spoofing"),
            Rule(accept(Both).at(-500).when("mac", &[("protocolid", "arp")])),
            Refers("no-other-l2-traffic"),
            Refers("qemu-announce-self"),
        ],
    ),
    filter(
        "clean-traffic-gateway",
        "root",
        &[
            Refers("no-mac-spoofing"),
            Refers("no-ip-spoofing"),
            Refers("no-arp-spoofing"),
            Rule(accept(Both).at(-500).when("mac", &[("protocolid", "arp")])),
            Rule(accept(In).when("mac", &[("srcmacaddr", "$GATEWAY_MAC")])),
            Rule(accept(Out).when("mac", &[("dstmacaddr", "$GATEWAY_MAC")])),
            Refers("no-other-l2-traffic"),
            Refers("qemu-announce-self"),
        ],
    ),
    filter(
        "no-arp-ip-spoofing",
        "arp-ip",
        &[Rule(give_back(Out).at(400).when("arp", &[("arpsrcipaddr", "$IP")])), Rule(drop(Out).at(1000))],
    )
    .ordered(-510),
    filter(
        "no-arp-mac-spoofing",
        "arp-mac",
        &[Rule(give_back(Out).at(350).when("arp", &[("arpsrcmacaddr", "$MAC")])), Rule(drop(Out).at(1000))],
    )
    .ordered(-520),
    filter("no-arp-spoofing", "root", &[Refers("no-arp-mac-spoofing"), Refers("no-arp-ip-spoofing")]),
    filter("no-ip-multicast", "ipv4", &[Rule(drop(Out).when("ip", &[("dstipaddr", "224.0.0.0"), ("dstipmask", "4")]))]),
    filter(
        "no-ip-spoofing",
        "ipv4-ip",
        &[
            Rule(give_back(Out).at(100).when("ip", &[("srcipaddr", "0.0.0.0"), ("protocol", "udp")])),
            Rule(give_back(Out).at(500).when("ip", &[("srcipaddr", "$IP")])),
            Rule(drop(Out).at(1000)),
        ],
    )
    .ordered(-710),
    filter(
        "no-ipv6-multicast",
        "ipv6",
        &[Rule(drop(Out).when("ipv6", &[("dstipaddr", "FF00::"), ("dstipmask", "8")]))],
    ),
    filter(
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
    filter("no-mac-broadcast", "ipv4", &[Rule(drop(Out).when("mac", &[("dstmacaddr", "ff:ff:ff:ff:ff:ff")]))]),
    filter(
        "no-mac-spoofing",
        "mac",
        &[Rule(give_back(Out).when("mac", &[("srcmacaddr", "$MAC")])), Rule(drop(Out).when("mac", &[]))],
    )
    .ordered(-800),
    filter("no-other-l2-traffic", "root", &[Rule(drop(Both).at(1000))]),
    filter("no-other-rarp-traffic", "rarp", &[Rule(drop(Both).at(1000))]),
    filter(
        "qemu-announce-self",
        "root",
        &[
            Rule(accept(Out).when("mac", &[("protocolid", "0x835")])),
            Refers("qemu-announce-self-rarp"),
            Refers("no-other-rarp-traffic"),
        ],
    ),
    filter(
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
];
