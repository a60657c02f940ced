//! The units of systemd in `deploy/` are well formed, and the sandboxes leave as little as they say.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use integration_tests::lab::workspace;

/// The exposure that a hook's sandbox may leave, of 100, as `systemd-analyze security` counts it.
const HOOKS_EXPOSURE: u32 = 10;

fn units() -> Result<Vec<PathBuf>> {
    let folder = workspace().join("deploy/systemd/hooks");
    let entries = std::fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    let is_unit = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "socket" || kind == "service");
    Ok(paths.into_iter().filter(is_unit).collect())
}

fn analyze(words: &[&str], unit: &PathBuf) -> Result<String> {
    let output = Command::new("systemd-analyze").args(words).arg(unit).output().context("systemd-analyze")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "systemd-analyze {words:?} {}: {said}", unit.display());
    Ok(said)
}

#[test]
fn units_are_well_formed() -> Result<()> {
    let units = units()?;
    ensure!(units.len() >= 2, "{units:?}");
    // systemd looks for the programs, which are not installed on this machine: the copies name those of the checkout.
    let folder = tempfile::tempdir()?;
    let programs = workspace().join("deploy/systemd/hooks").display().to_string();
    let mut copies = Vec::new();
    for unit in &units {
        let copy = folder.path().join(unit.file_name().context("a unit has a name")?);
        std::fs::write(&copy, std::fs::read_to_string(unit)?.replace("/etc/trestle/hooks", &programs))?;
        copies.push(copy);
    }
    for copy in &copies {
        let said = analyze(&["verify", "--man=no"], copy)?;
        ensure!(said.trim().is_empty(), "{}: {said}", copy.display());
    }
    Ok(())
}

#[test]
fn a_hooks_sandbox_is_tight() -> Result<()> {
    let threshold = format!("--threshold={HOOKS_EXPOSURE}");
    for unit in units()?.iter().filter(|unit| unit.extension().is_some_and(|kind| kind == "service")) {
        analyze(&["security", "--offline=true", "--no-pager", &threshold], unit)?;
    }
    Ok(())
}
