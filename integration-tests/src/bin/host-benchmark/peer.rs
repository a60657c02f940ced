//! nmstate in kernel mode, beside the agent: the same networks, described in its words. It is measured where it is
//! installed.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::measure::{Measured, Start, Whose, quiet};
use crate::scene::{Scene, Shape};

/// nmstate's program.
const PROGRAM: &str = "nmstatectl";
/// How often what changes nothing is measured; less than for the agent, for it takes much longer.
const REPEATS: usize = 2;

/// Tells whether it is installed.
pub(crate) fn is_installed() -> bool {
    let asked = Command::new(PROGRAM).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}

/// Measures it in this namespace.
pub(crate) async fn measure(scene: &Scene) -> Result<Measured> {
    scene.prepare()?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("state.json");
    std::fs::write(&file, wanted(scene).to_string())?;
    let mut measured = Measured::new();

    quiet().await?;
    let start = Start::now(Whose::Ours)?;
    apply(&file)?;
    measured.insert("nmstatectl apply".to_owned(), start.stop()?);
    let links = Command::new("ip").args(["-brief", "link", "show", "type", "bridge", "up"]).output()?;
    let made = String::from_utf8_lossy(&links.stdout).lines().count();
    ensure!(made == scene.count, "nmstatectl made {made} bridges of {}", scene.count);

    for repeat in 0..REPEATS {
        let start = Start::now(Whose::Ours)?;
        apply(&file)?;
        measured.insert(format!("nmstatectl apply again {repeat}"), start.stop()?);
        let start = Start::now(Whose::Ours)?;
        run(&["show", "--kernel", "--json"])?;
        measured.insert(format!("nmstatectl show {repeat}"), start.stop()?);
    }
    Ok(measured)
}

/// Describes the scene's networks in nmstate's words. IPv6 is left alone: nmstate 2.2 in kernel mode does not switch it
/// off, and then finds that it is on. So it has that much less to do than the agent.
fn wanted(scene: &Scene) -> Value {
    let mut interfaces = Vec::new();
    for number in 0..scene.count {
        let port = match scene.shape {
            Shape::Bridges => None,
            Shape::Cables => Some(format!("nic{number}")),
            Shape::Vlans => {
                let (name, id) = (format!("nic0.{}", number + 2), number + 2);
                interfaces.push(interface(&name, "vlan", json!({ "vlan": { "base-iface": "nic0", "id": id } })));
                Some(name)
            }
        };
        let ports: Vec<Value> = port.into_iter().map(|name| json!({ "name": name })).collect();
        let bridge = json!({ "options": { "stp": { "enabled": false } }, "port": ports });
        interfaces.push(interface(&format!("net{number}"), "linux-bridge", json!({ "bridge": bridge })));
    }
    json!({ "interfaces": interfaces })
}

fn interface(name: &str, kind: &str, rest: Value) -> Value {
    let mut interface = json!({ "name": name, "type": kind, "state": "up", "mtu": 1500 });
    if let (Some(fields), Value::Object(rest)) = (interface.as_object_mut(), rest) {
        fields.extend(rest);
    }
    interface
}

fn apply(file: &Path) -> Result<()> {
    run(&["apply", "--kernel", file.to_str().context("the folder's name is no text")?])
}

fn run(arguments: &[&str]) -> Result<()> {
    let status = Command::new(PROGRAM).args(arguments).stdout(Stdio::null()).status()?;
    ensure!(status.success(), "{PROGRAM} {arguments:?}: {status}");
    Ok(())
}
