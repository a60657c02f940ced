//! How fast an interface of a guest may receive and send.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Limits of an interface, as libvirt's `<bandwidth>` has them.
///
/// *Source*: libvirt, "Network XML format", quality of service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Bandwidth {
    /// What goes to the guest; none is not limited.
    pub inbound: Option<BandwidthRate>,
    /// What the guest sends; none is not limited.
    pub outbound: Option<BandwidthRate>,
}

/// A limit of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BandwidthRate {
    /// Average, in kilobytes per second, at least 1.
    pub average: u32,
    /// Largest, in kilobytes per second; none is the average.
    pub peak: Option<u32>,
    /// What may go at the largest, in kibibytes; none leaves it to libvirt.
    pub burst: Option<u32>,
}

impl fmt::Display for BandwidthRate {
    /// Writes it as libvirt's tools take it: `1000,2000,512`, and `1000` where only the average is given.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |number: Option<u32>| number.map(|number| number.to_string()).unwrap_or_default();
        let whole = format!("{},{},{}", self.average, text(self.peak), text(self.burst));
        f.write_str(whole.trim_end_matches(','))
    }
}
