//! Holds the never-arrows of ARCHITECTURE.md: which room may know which, and what the pure ones may never name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// The rooms of the house, and which of them each may know in what it ships.
const ARROWS: &[(&str, &[&str])] = &[
    ("trestle-model", &[]),
    ("trestle-proto", &["trestle-model"]),
    ("trestle-telemetry", &[]),
    ("trestle-serve", &["trestle-telemetry"]),
    ("trestle-settings", &[]),
    ("trestle-plan", &["trestle-model"]),
    ("trestle-netlink", &["trestle-model", "trestle-plan"]),
    ("trestle-libvirt", &["trestle-model", "trestle-plan", "trestle-libvirt-events"]),
    ("trestle-libvirt-events", &[]),
    ("trestle-dhcp", &["trestle-model", "trestle-plan"]),
    ("trestle-lldp", &["trestle-model"]),
    ("trestle-fake-host", &["trestle-model", "trestle-plan"]),
    (
        "host-agent",
        &[
            "trestle-model",
            "trestle-proto",
            "trestle-plan",
            "trestle-netlink",
            "trestle-libvirt",
            "trestle-dhcp",
            "trestle-lldp",
            "trestle-telemetry",
            "trestle-serve",
            "trestle-settings",
        ],
    ),
    ("trestle-rules", &["trestle-model"]),
    ("trestle-store", &["trestle-model"]),
    (
        "engine-svc",
        &[
            "trestle-model",
            "trestle-proto",
            "trestle-rules",
            "trestle-store",
            "trestle-telemetry",
            "trestle-serve",
            "trestle-settings",
        ],
    ),
    ("trestlectl", &["trestle-model", "trestle-proto", "trestle-telemetry", "trestle-serve"]),
];

/// Crates that the pure rooms may not reach, also not through others.
const IMPURE: &[&str] = &["tonic", "prost", "tokio", "sled", "redb", "rtnetlink", "virt", "opentelemetry", "tracing"];
const PURE: &[&str] = &["trestle-model", "trestle-plan", "trestle-rules"];

/// Words that a pure room's source may not have outside of its tests.
const IMPURE_WORDS: &[&str] = &[
    "std::fs",
    "std::env",
    "std::net::Tcp",
    "SystemTime",
    "Instant::now",
    "std::process",
    "Uuid::new_v4",
    "Uuid::now_v7",
];

struct House {
    /// Normal and build dependencies of each package, by name, direct only.
    arrows: BTreeMap<String, BTreeSet<String>>,
    members: BTreeMap<String, PathBuf>,
}

impl House {
    fn read() -> Result<Self> {
        let out = Command::new(env!("CARGO"))
            .args(["metadata", "--format-version", "1", "--locked"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()?;
        ensure!(out.status.success(), "cargo metadata failed: {}", String::from_utf8_lossy(&out.stderr));
        let metadata: Value = serde_json::from_slice(&out.stdout)?;
        let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
        let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let names: BTreeMap<String, String> =
            list(&metadata, "packages").iter().map(|p| (text(p, "id"), text(p, "name"))).collect();
        let mut arrows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for node in list(&metadata["resolve"], "nodes") {
            let from = names.get(&text(&node, "id")).context("node without package")?.clone();
            let shipped = list(&node, "deps")
                .into_iter()
                .filter(|dep| list(dep, "dep_kinds").iter().any(|kind| kind["kind"].as_str() != Some("dev")));
            let to = shipped.filter_map(|dep| names.get(&text(&dep, "pkg")).cloned());
            arrows.entry(from).or_default().extend(to);
        }
        let workspace: BTreeSet<String> =
            list(&metadata, "workspace_members").iter().filter_map(|m| m.as_str().map(ToOwned::to_owned)).collect();
        let members = list(&metadata, "packages")
            .iter()
            .filter(|p| workspace.contains(&text(p, "id")))
            .map(|p| {
                let folder = Path::new(&text(p, "manifest_path")).parent().map(Path::to_owned).unwrap_or_default();
                (text(p, "name"), folder)
            })
            .collect();
        Ok(Self { arrows, members })
    }

    fn reachable(&self, from: &str) -> BTreeSet<String> {
        let mut seen = BTreeSet::new();
        let mut open = vec![from.to_owned()];
        while let Some(next) = open.pop() {
            for to in self.arrows.get(&next).into_iter().flatten() {
                if seen.insert(to.clone()) {
                    open.push(to.clone());
                }
            }
        }
        seen
    }
}

fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(sources(&path)?);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    Ok(files)
}

#[test]
fn every_room_is_known_and_knows_only_what_it_may() -> Result<()> {
    let house = House::read()?;
    let known: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let mut wrong = Vec::new();
    for member in house.members.keys().filter(|m| *m != "integration-tests") {
        let Some(allowed) = known.get(member.as_str()) else {
            wrong.push(format!("{member} is not in the table of rooms"));
            continue;
        };
        for to in house.arrows.get(member).into_iter().flatten() {
            if house.members.contains_key(to) && !allowed.contains(&to.as_str()) {
                wrong.push(format!("{member} may not know {to}"));
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn pure_rooms_reach_no_runtime_wire_store_or_edge() -> Result<()> {
    let house = House::read()?;
    let mut wrong = Vec::new();
    for room in PURE {
        for to in house.reachable(room).iter().filter(|to| IMPURE.contains(&to.as_str())) {
            wrong.push(format!("{room} reaches {to}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn pure_rooms_read_no_clock_file_environment_or_random_number() -> Result<()> {
    let house = House::read()?;
    let mut wrong = Vec::new();
    for room in PURE {
        let folder = house.members.get(*room).with_context(|| format!("{room} is no member"))?;
        for file in sources(&folder.join("src"))? {
            let text = std::fs::read_to_string(&file)?;
            let shipped = text.split("#[cfg(test)]").next().unwrap_or_default();
            if file.file_name().is_some_and(|n| n == "tests.rs") {
                continue;
            }
            for word in IMPURE_WORDS.iter().filter(|word| shipped.contains(*word)) {
                wrong.push(format!("{} names {word}", file.display()));
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn nothing_that_ships_knows_the_fake_host() -> Result<()> {
    let house = House::read()?;
    for member in house.members.keys().filter(|m| !matches!(m.as_str(), "integration-tests" | "trestle-fake-host")) {
        ensure!(!house.reachable(member).contains("trestle-fake-host"), "{member} ships the fake host");
    }
    Ok(())
}

#[test]
fn engine_and_agent_never_meet() -> Result<()> {
    let house = House::read()?;
    let (engine, agent) = (house.reachable("engine-svc"), house.reachable("host-agent"));
    for edge in ["rtnetlink", "virt", "host-agent", "trestle-netlink", "trestle-libvirt", "sled"] {
        ensure!(!engine.contains(edge), "engine-svc reaches {edge}");
    }
    for part in ["engine-svc", "trestle-store", "trestle-rules", "redb"] {
        ensure!(!agent.contains(part), "host-agent reaches {part}");
    }
    Ok(())
}

#[test]
fn no_module_is_a_drawer_for_leftovers() -> Result<()> {
    let house = House::read()?;
    let drawers = ["util", "utils", "common", "helper", "helpers", "misc", "manager", "info", "data"];
    for folder in house.members.values() {
        for file in sources(folder)? {
            let stem = file.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
            ensure!(!drawers.contains(&stem), "{} is a drawer", file.display());
        }
    }
    Ok(())
}
