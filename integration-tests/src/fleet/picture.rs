//! What `ip -d -j` says of a host, for comparisons byte for byte.

use std::collections::BTreeSet;
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
const QUESTIONS: [&str; 5] =
    ["ip -d -j link", "ip -d -j address", "ip -d -j -4 route show table all", UNORDERED, "bridge -d -j link"];

/// What is written between two answers.
const BETWEEN: &str = "@@";

/// Links, addresses, routes and bridge ports of a host at one moment: a line for each thing that was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture(Vec<String>);

impl Picture {
    /// Takes one of a machine, once the kernel has probed new IPv6 addresses for duplicates.
    ///
    /// *Errors*: the machine does not settle or does not answer.
    pub async fn taken(machine: &Vm) -> Result<Self> {
        machine.wait_until("[ -z \"$(ip -6 address show tentative)\" ]", SETTLE_LIMIT).await?;
        Self::of(&machine.run(&Self::script()).await?)
    }

    /// The script whose output makes a picture.
    pub fn script() -> String {
        QUESTIONS.join(&format!("; echo {BETWEEN}; "))
    }

    /// Makes one of what the script has said.
    pub fn of(told: &str) -> Result<Self> {
        Self::drawn(told, |_| {})
    }

    /// The same without what a device has anew that was taken away and came back: its number, its place in lists, and the
    /// port that a bond uses.
    pub fn anew(told: &str) -> Result<Self> {
        Self::drawn(told, |value| {
            leave_out_choice(value);
            leave_out_numbers(value);
        })
    }

    fn drawn(told: &str, leave_out_more: impl Fn(&mut Value)) -> Result<Self> {
        let mut lines = Vec::new();
        let answers: Vec<&str> = told.split(BETWEEN).collect();
        ensure!(answers.len() == QUESTIONS.len(), "not {} answers: {told}", QUESTIONS.len());
        for (question, answer) in QUESTIONS.iter().zip(answers) {
            let mut value = serde_json::from_str(answer).with_context(|| format!("{question}: {answer}"))?;
            leave_out_timers(&mut value);
            leave_out_more(&mut value);
            if let (UNORDERED, Value::Array(routes)) = (*question, &mut value) {
                routes.sort_by_key(Value::to_string);
            }
            for item in value.as_array().with_context(|| format!("{question}: no list"))? {
                match item["ifname"].as_str() {
                    Some(name) => tell(&format!("{question}: {name}"), item, &mut lines),
                    None => lines.push(format!("{question}: {item}")),
                }
            }
        }
        Ok(Self(lines))
    }

    /// Succeeds when the two are the same.
    ///
    /// *Errors*: they are not; the error quotes where, `-` what was `before` and `+` what is now.
    pub fn same_as(&self, before: &Self) -> Result<()> {
        ensure!(self == before, "the host differs:\n{}", difference(&before.0, &self.0));
        Ok(())
    }
}

/// Returns the lines of `before` that are not in `after`, marked `-`, and those of `after` that were not there, marked `+`.
pub fn difference<Line: AsRef<str>>(before: &[Line], after: &[Line]) -> String {
    let without = |lines: &[Line], others: &[Line], sign: char| {
        let others: BTreeSet<&str> = others.iter().map(AsRef::as_ref).collect();
        let missing = lines.iter().map(AsRef::as_ref).filter(|line| !others.contains(line));
        missing.map(|line| format!("{sign} {line}\n")).collect::<String>()
    };
    let lines = without(before, after, '-') + &without(after, before, '+');
    if lines.is_empty() { "the same lines, in another order or number\n".to_owned() } else { lines }
}

/// Adds a line for each value within a value.
fn tell(path: &str, value: &Value, lines: &mut Vec<String>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            fields.iter().for_each(|(name, field)| tell(&format!("{path}.{name}"), field, lines));
        }
        Value::Array(items) if !items.is_empty() => {
            items.iter().enumerate().for_each(|(number, item)| tell(&format!("{path}[{number}]"), item, lines));
        }
        value => lines.push(format!("{path} = {value}")),
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
        Picture::of(&[link, "[]", "[]", "[]", "[]"].join(BETWEEN)).unwrap()
    }

    #[test]
    fn timers_do_not_count_and_everything_else_does() {
        let link = |mtu: u32, timer: f32| {
            picture(&format!(r#"[{{"ifname":"eth0","mtu":{mtu},"linkinfo":{{"info_data":{{"gc_timer":{timer}}}}}}}]"#))
        };
        link(1500, 7.0).same_as(&link(1500, 1.5)).unwrap();
        let error = link(1400, 1.5).same_as(&link(1500, 1.5)).unwrap_err().to_string();
        assert_eq!(error, "the host differs:\n- ip -d -j link: eth0.mtu = 1500\n+ ip -d -j link: eth0.mtu = 1400\n");
    }

    #[test]
    fn a_route_is_one_line_and_an_order_counts() {
        let routes = |routes: &str| Picture::of(&["[]", "[]", routes, "[]", "[]"].join(BETWEEN)).unwrap();
        let (one, other) = (r#"{"dst":"default"}"#, r#"{"dst":"192.0.2.0/24"}"#);
        let error = routes(&format!("[{one}]")).same_as(&routes(&format!("[{one},{other}]"))).unwrap_err().to_string();
        assert_eq!(error, format!("the host differs:\n- ip -d -j -4 route show table all: {other}\n"));
        let turned = routes(&format!("[{other},{one}]")).same_as(&routes(&format!("[{one},{other}]")));
        assert!(turned.unwrap_err().to_string().contains("in another order"));
    }

    #[test]
    fn the_port_that_a_bond_uses_counts_unless_the_bond_was_made_anew() {
        let bond = |port: &str, state: &str, more: &str| {
            let bond = format!(
                r#"{{"ifname":"bond0","linkinfo":{{"info_kind":"bond","info_data":{{"active_slave":"{port}"}}}}}}"#
            );
            let slave = format!(r#"{{"info_slave_kind":"bond","info_slave_data":{{"state":"{state}"{more}}}}}"#);
            [&format!(r#"[{bond},{{"ifname":"eth1","linkinfo":{slave}}}]"#), "[]", "[]", "[]", "[]"].join(BETWEEN)
        };
        let (one, other) = (bond("eth1", "ACTIVE", ""), bond("eth2", "BACKUP", ""));
        assert_ne!(Picture::of(&one).unwrap(), Picture::of(&other).unwrap());
        Picture::anew(&one).unwrap().same_as(&Picture::anew(&other).unwrap()).unwrap();
        let lacp = |state| Picture::of(&bond("", state, r#","ad_aggregator_id":1"#)).unwrap();
        lacp("ACTIVE").same_as(&lacp("BACKUP")).unwrap();
    }
}
