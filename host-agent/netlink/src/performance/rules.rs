//! Routing rules.

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use nix::errno::Errno;
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use trestle_model::Rule;

use crate::device::Devices;
use crate::failure::{Failure, tolerate};

pub(super) async fn add(devices: &Devices<'_>, rule: &Rule) -> Result<(), Failure> {
    // Without NLM_F_EXCL the kernel would have the same rule twice.
    let added = devices.socket.change(RouteNetlinkMessage::NewRule(message(rule)), NLM_F_CREATE | NLM_F_EXCL).await;
    tolerate(added, &[Errno::EEXIST])
}

pub(super) async fn remove(devices: &Devices<'_>, rule: &Rule) -> Result<(), Failure> {
    let removed = devices.socket.change(RouteNetlinkMessage::DelRule(message(rule)), 0).await;
    tolerate(removed, &[Errno::ENOENT])
}

fn message(rule: &Rule) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = if rule.source.addr().is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    message.header.src_len = rule.source.prefix_len();
    message.header.action = RuleAction::ToTable;
    message.attributes = vec![
        RuleAttribute::Source(rule.source.network()),
        RuleAttribute::Table(rule.table),
        RuleAttribute::Priority(rule.priority),
        RuleAttribute::Protocol(rule.protocol.into()),
    ];
    message
}
