//! Proves on a real kernel, and with a real libvirt where there is one, what `trestle-plan` and the agent promise: run by
//! tests in a machine of the lab or in a network namespace, where `eth0`, `eth1` and `eth2` are free for it, and where
//! everything that is neither `ethN` nor `wireN` is taken off.
//!
//! - `laws SECONDS [SEED]`: random hosts and requests; what holds of every plan holds here.
//! - `quiet SHARE`: asking for what runs already writes nothing, for each attribute; as below.
//! - `deaths SHARE`: the agent is killed at places of each kind of plan; `SHARE` is 1 for every place, n for each n-th;
//!   `deaths once`: at one place of each kind of plan that takes VLANs, bonds, guests or MAC tables that libvirt manages.
//! - `die KIND FOLDER PLACE`: the agent that is killed there.
//! - `hang KIND FOLDER PLACE`, `comes-back KIND FOLDER`: the same with a power cut in between.

mod deaths;
mod laws;
mod quiet;
mod stage;

use std::path::Path;

use anyhow::{Context, Result, bail};

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["laws", seconds] => laws::hold(seconds.parse()?, uuid::Uuid::new_v4().as_u64_pair().0).await,
        ["laws", seconds, seed] => laws::hold(seconds.parse()?, seed.parse()?).await,
        ["quiet", share] => quiet::holds(share.parse()?).await,
        ["deaths", "once"] => deaths::everywhere(None, deaths::is_special).await,
        ["deaths", share] => deaths::everywhere(Some(share.parse()?), |_| true).await,
        ["die", kind, folder, place] => {
            deaths::end_at(kind.parse()?, Path::new(folder), place.parse()?, deaths::End::Killed).await
        }
        ["hang", kind, folder, place] => {
            deaths::end_at(kind.parse()?, Path::new(folder), place.parse()?, deaths::End::Hanging).await
        }
        ["comes-back", kind, folder] => deaths::comes_back_after_a_power_cut(kind.parse()?, Path::new(folder)).await,
        _ => bail!("not a proof: {}", arguments.join(" ")),
    }
    .with_context(|| arguments.join(" "))
}
