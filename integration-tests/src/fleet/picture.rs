//! What `ip -d -j` says of a host, for comparisons byte for byte.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value};

use crate::lab::vm::Vm;

const SETTLE_LIMIT: Duration = Duration::from_secs(20);

/// What runs by itself: the timers of a bridge and of its ports, and what a bond's ports have come to with their partner.
const TIMERS: [&str; 14] = [
    "gc_timer",
    "hello_timer",
    "tcn_timer",
    "topology_change_timer",
    "hold_timer",
    "message_age_timer",
    "forward_delay_timer",
    "ad_info",
    "ad_aggregator_id",
    "ad_actor_oper_port_state",
    "ad_actor_oper_port_state_str",
    "ad_partner_oper_port_state",
    "ad_partner_oper_port_state_str",
    "link_failure_count",
];

/// The question whose answer has no order of its own: `ip` lists equal IPv6 routes of several devices, such as every
/// card's `fe80::/64`, in the order in which they were added, which no undo can bring back.
const UNORDERED: &str = "ip -d -j -6 route show table all";

/// The commands whose answers make a picture.
pub const QUESTIONS: [&str; 5] =
    ["ip -d -j link", "ip -d -j address", "ip -d -j -4 route show table all", UNORDERED, "bridge -d -j link"];

/// Links, addresses, routes and bridge ports of a host at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture(String);

impl Picture {
    /// Takes one of a machine, once the kernel has probed new IPv6 addresses for duplicates.
    ///
    /// *Errors*: the machine does not settle or does not answer.
    pub async fn taken(machine: &Vm) -> Result<Self> {
        machine.wait_until("[ -z \"$(ip -6 address show tentative)\" ]", SETTLE_LIMIT).await?;
        let script = QUESTIONS.map(|question| format!("{question}; echo")).join("; echo @@; ");
        let text = machine.run(&script).await?;
        let answers: Vec<String> = text.split("@@").map(|part| part.trim().to_owned()).collect();
        Self::of(&answers).with_context(|| text)
    }

    /// Puts together the answers to the questions, one JSON text each.
    pub fn of(answers: &[String]) -> Result<Self> {
        Self::drawn(answers, |_| {})
    }

    /// The same without what a device has anew that was taken away and came back: its number, its place in lists, and the
    /// port that a bond uses.
    pub fn anew(answers: &[String]) -> Result<Self> {
        Self::drawn(answers, |value| {
            leave_out_choice(value);
            leave_out_numbers(value);
        })
    }

    fn drawn(answers: &[String], leave_out_more: impl Fn(&mut Value)) -> Result<Self> {
        let mut lines = String::new();
        for (question, answer) in QUESTIONS.iter().zip(answers) {
            let mut value = serde_json::from_str(answer)?;
            leave_out_timers(&mut value);
            leave_out_more(&mut value);
            if let (UNORDERED, Value::Array(routes)) = (*question, &mut value) {
                routes.sort_by_key(Value::to_string);
            }
            lines += &format!("{question}\n{value:#}\n");
        }
        Ok(Self(lines))
    }

    /// Succeeds when the two are the same.
    ///
    /// *Errors*: they are not; the error quotes where, `-` what was `before` and `+` what is now.
    pub fn same_as(&self, before: &Self) -> Result<()> {
        ensure!(self == before, "the host differs:\n{}", self.difference(before));
        Ok(())
    }

    /// The lines between the first and the last that differ.
    fn difference(&self, other: &Self) -> String {
        let (mine, others): (Vec<&str>, Vec<&str>) = (self.0.lines().collect(), other.0.lines().collect());
        let same = mine.iter().zip(&others).take_while(|(one, two)| one == two).count();
        let (mine, others) = (&mine[same..], &others[same..]);
        let alike = mine.iter().rev().zip(others.iter().rev()).take_while(|(one, two)| one == two).count();
        let marked = |lines: &[&str], sign| {
            let differing = &lines[..lines.len() - alike];
            differing.iter().map(|line| format!("{sign} {line}\n")).collect::<String>()
        };
        marked(others, '-') + &marked(mine, '+')
    }
}

fn leave_out_timers(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            leave_out_agreement(fields);
            fields.retain(|name, _| !TIMERS.contains(&name.as_str()));
            fields.values_mut().for_each(leave_out_timers);
        }
        Value::Array(items) => items.iter_mut().for_each(leave_out_timers),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Leaves out whether a port of an LACP bond is in use: that is agreed upon with the partner.
fn leave_out_agreement(fields: &mut Map<String, Value>) {
    if fields.contains_key("ad_aggregator_id") {
        fields.remove("state");
    }
}

/// Leaves out which port a bond made anew has chosen, where nobody has named a primary, and what follows from that: it
/// also listens to all multicast.
fn leave_out_choice(value: &mut Value) {
    let Value::Array(items) = value else { return };
    for link in items.iter_mut().filter_map(Value::as_object_mut) {
        let is_port = link.get("linkinfo").is_some_and(|info| info["info_slave_kind"] == "bond");
        if is_port {
            link.remove("promiscuity");
            link.remove("allmulti");
        }
        let Some(Value::Object(info)) = link.get_mut("linkinfo") else { continue };
        if let Some(Value::Object(port)) = info.get_mut("info_slave_data").filter(|_| is_port) {
            port.remove("state");
        }
        if let Some(Value::Object(bond)) = info.get_mut("info_data").filter(|data| data.get("primary").is_none()) {
            bond.remove("active_slave");
        }
    }
}

fn leave_out_numbers(value: &mut Value) {
    let Value::Array(items) = value else { return };
    for item in items.iter_mut().filter_map(Value::as_object_mut) {
        item.remove("ifindex");
    }
    items.sort_by_key(Value::to_string);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(link: &str) -> Picture {
        Picture::of(&[link, "[]", "[]", "[]", "[]"].map(str::to_owned)).unwrap()
    }

    #[test]
    fn timers_do_not_count_and_everything_else_does() {
        let one = picture(r#"[{"mtu":1500,"linkinfo":{"info_data":{"gc_timer":1.5}}}]"#);
        let two = picture(r#"[{"mtu":1500,"linkinfo":{"info_data":{"gc_timer":7.0}}}]"#);
        two.same_as(&one).unwrap();
        let three = picture(r#"[{"mtu":1400,"linkinfo":{"info_data":{}}}]"#);
        let error = three.same_as(&one).unwrap_err().to_string();
        assert_eq!(error, "the host differs:\n-     \"mtu\": 1500\n+     \"mtu\": 1400\n");
    }

    #[test]
    fn the_port_that_a_bond_uses_counts_unless_the_bond_was_made_anew() {
        let bond = |port: &str, state: &str, more: &str| {
            let bond = format!(
                r#"{{"ifname":"bond0","linkinfo":{{"info_kind":"bond","info_data":{{"active_slave":"{port}"}}}}}}"#
            );
            let slave = format!(r#"{{"info_slave_kind":"bond","info_slave_data":{{"state":"{state}"{more}}}}}"#);
            [format!(r#"[{bond},{{"ifname":"eth1","linkinfo":{slave}}}]"#).as_str(), "[]", "[]", "[]", "[]"]
                .map(str::to_owned)
        };
        let (one, other) = (bond("eth1", "ACTIVE", ""), bond("eth2", "BACKUP", ""));
        assert_ne!(Picture::of(&one).unwrap(), Picture::of(&other).unwrap());
        Picture::anew(&one).unwrap().same_as(&Picture::anew(&other).unwrap()).unwrap();
        let lacp = |state| Picture::of(&bond("", state, r#","ad_aggregator_id":1"#)).unwrap();
        lacp("ACTIVE").same_as(&lacp("BACKUP")).unwrap();
    }
}
