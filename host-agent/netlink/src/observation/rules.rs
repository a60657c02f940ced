//! Trestle's routing rules: those with its protocol number that say no more than "from this source, that table".

use std::net::IpAddr;

use ipnet::IpNet;
use nix::errno::Errno;
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use trestle_model::Rule;
use trestle_plan::LEASE_PROTOCOL;
use trestle_plan::ownership::ROUTE_PROTOCOL;

use super::pick;
use crate::failure::Failure;
use crate::socket::Socket;

/// Reads the rules of both families, ordered; none of a family that the kernel has no rules for.
pub(super) async fn all(socket: &Socket) -> Result<Vec<Rule>, Failure> {
    let mut rules = of_family(socket, AddressFamily::Inet).await?;
    rules.extend(of_family(socket, AddressFamily::Inet6).await?);
    rules.sort();
    Ok(rules)
}

async fn of_family(socket: &Socket, family: AddressFamily) -> Result<Vec<Rule>, Failure> {
    let mut request = RuleMessage::default();
    request.header.family = family;
    let answers = match socket.dump(RouteNetlinkMessage::GetRule(request)).await {
        Err(failure) if matches!(failure.errno(), Some(Errno::EOPNOTSUPP | Errno::EAFNOSUPPORT)) => {
            return Ok(Vec::new());
        }
        other => other?,
    };
    let rule_of = |answer: &RouteNetlinkMessage| {
        let RouteNetlinkMessage::NewRule(message) = answer else { return None };
        if message.header.family == family { rule(message) } else { None }
    };
    Ok(answers.iter().filter_map(rule_of).collect())
}

fn rule(message: &RuleMessage) -> Option<Rule> {
    let attributes = &message.attributes;
    let protocol = u8::from(*pick!(attributes, RuleAttribute::Protocol)?);
    if ![ROUTE_PROTOCOL, LEASE_PROTOCOL].contains(&protocol)
        || message.header.action != RuleAction::ToTable
        || message.header.dst_len > 0
    {
        return None;
    }
    let source: IpAddr = *pick!(attributes, RuleAttribute::Source)?;
    let narrower = attributes.iter().any(|attribute| {
        matches!(
            attribute,
            RuleAttribute::Iifname(_)
                | RuleAttribute::Oifname(_)
                | RuleAttribute::FwMark(_)
                | RuleAttribute::IpProtocol(_)
                | RuleAttribute::SourcePortRange(_)
                | RuleAttribute::DestinationPortRange(_)
                | RuleAttribute::UidRange(_)
                | RuleAttribute::TunId(_)
        )
    });
    let rule = Rule {
        source: IpNet::new(source, message.header.src_len).ok()?,
        table: pick!(attributes, RuleAttribute::Table).copied().unwrap_or_else(|| message.header.table.into()),
        priority: pick!(attributes, RuleAttribute::Priority).copied().unwrap_or_default(),
        protocol,
    };
    (!narrower).then_some(rule)
}
