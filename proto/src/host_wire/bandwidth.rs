//! How fast interfaces of guests may receive and send.

use trestle_model::{Bandwidth, BandwidthRate, Code, Finding};

use crate::form::Form;
use crate::host::v1 as wire;

/// Builds limits; absent where nothing is limited.
pub(crate) fn build_bandwidth(bandwidth: &Bandwidth) -> Option<wire::Bandwidth> {
    let rate = |rate: BandwidthRate| wire::BandwidthRate { average: rate.average, peak: rate.peak, burst: rate.burst };
    let built = wire::Bandwidth { inbound: bandwidth.inbound.map(rate), outbound: bandwidth.outbound.map(rate) };
    (built != wire::Bandwidth::default()).then_some(built)
}

/// Reads limits that are asked for.
pub(crate) fn read_bandwidth(form: &mut Form, path: &str, bandwidth: Option<&wire::Bandwidth>) -> Bandwidth {
    let mut rate = |name: &str, rate: Option<&wire::BandwidthRate>| {
        let (path, rate) = (format!("{path}.{name}"), as_told(rate?));
        let out_of_range = |field: &str, message: String| {
            Finding::error(Code::QosInvalid, format!("{path}.{field}"), message)
                .remedy("give a larger number, or leave it out")
        };
        if rate.average == 0 {
            form.note(out_of_range("average", "an average of 0 lets nothing pass".to_owned()));
        }
        if rate.peak.is_some_and(|peak| peak < rate.average) {
            form.note(out_of_range("peak", format!("the peak is below the average of {}", rate.average)));
        }
        if rate.burst == Some(0) {
            form.note(out_of_range("burst", "a burst of 0 lets nothing pass".to_owned()));
        }
        Some(rate)
    };
    let bandwidth = bandwidth.copied().unwrap_or_default();
    Bandwidth {
        inbound: rate("inbound", bandwidth.inbound.as_ref()),
        outbound: rate("outbound", bandwidth.outbound.as_ref()),
    }
}

/// Reads limits that a host reports, whatever they are.
pub(crate) fn reported_bandwidth(bandwidth: Option<&wire::Bandwidth>) -> Bandwidth {
    let bandwidth = bandwidth.copied().unwrap_or_default();
    Bandwidth { inbound: bandwidth.inbound.as_ref().map(as_told), outbound: bandwidth.outbound.as_ref().map(as_told) }
}

const fn as_told(rate: &wire::BandwidthRate) -> BandwidthRate {
    BandwidthRate { average: rate.average, peak: rate.peak, burst: rate.burst }
}
