//! A short text that differs when two configurations differ.

use trestle_model::HostConfig;

/// Returns sixteen hexadecimal digits over the networks, bonds and NICs of a configuration; generation and baselines do not count.
///
/// The hash (FNV-1a, 64 bits, over their JSON) is the same in every process and on every host. It tells
/// configurations apart that differ by accident, not by malice.
pub(crate) fn of(config: &HostConfig) -> String {
    // A host without NICs of its own keeps the hash that it had.
    let nics = (!config.nics.is_empty()).then_some(&config.nics);
    let json = match nics {
        None => serde_json::to_vec(&(&config.networks, &config.bonds)),
        Some(nics) => serde_json::to_vec(&(&config.networks, &config.bonds, nics)),
    };
    let json = json.expect("maps with text keys and plain values always serialize");
    let hash = json
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}
