//! Each reason that a server can answer with has its page in docs/errors, and each page its reason.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use trestle_model::Code;
use trestle_serve::Reason;

#[test]
fn every_reason_has_its_page_and_every_page_its_reason() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/errors");
    let index = std::fs::read_to_string(folder.join("README.md"))?;
    let codes = Code::ALL.iter().map(|code| code.as_str());
    let reasons: BTreeSet<&str> = codes.chain(Reason::ALL.iter().map(|reason| reason.as_str())).collect();
    for reason in &reasons {
        let page = std::fs::read_to_string(folder.join(format!("{reason}.md")))
            .with_context(|| format!("docs/errors/{reason}.md"))?;
        ensure!(page.starts_with(&format!("# {reason}\n")), "docs/errors/{reason}.md does not begin with its reason");
        ensure!(index.contains(&format!("[{reason}]({reason}.md)")), "docs/errors/README.md does not list {reason}");
    }
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let stem = name.strip_suffix(".md").unwrap_or_default();
        ensure!(name == "README.md" || reasons.contains(stem), "docs/errors/{name} is the page of no reason");
    }
    Ok(())
}
