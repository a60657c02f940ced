//! Counters of devices.

use std::collections::BTreeSet;

use prost_types::Timestamp;
use trestle_model::{Code, Findings, IfName, LinkStatistics};

use crate::form::Form;
use crate::host::v1 as wire;

/// Reads which devices' counters are wanted; none where all are.
///
/// *Errors*: `NAME_INVALID` for each text that can be no device's name.
pub fn parse_statistics(request: &wire::GetStatisticsRequest) -> Result<Option<BTreeSet<IfName>>, Findings> {
    let mut form = Form::default();
    let names = request.names.iter().enumerate();
    let names = names
        .filter_map(|(position, name)| form.name(&format!("names[{position}]"), name, Code::NameInvalid, IfName::parse))
        .collect();
    form.finish(Some(Some(names).filter(|_| !request.names.is_empty())))
}

/// Builds the answer with what was read at `read_ms`, milliseconds since 1970.
pub fn build_statistics(statistics: &[LinkStatistics], read_ms: u64) -> wire::GetStatisticsResponse {
    let seconds = i64::try_from(read_ms / 1000).unwrap_or(i64::MAX);
    let nanos = i32::try_from(read_ms % 1000 * 1_000_000).unwrap_or_default();
    wire::GetStatisticsResponse {
        interfaces: statistics.iter().map(build_interface).collect(),
        read_time: Some(Timestamp { seconds, nanos }),
    }
}

fn build_interface(statistics: &LinkStatistics) -> wire::InterfaceStatistics {
    let counters = &statistics.counters;
    wire::InterfaceStatistics {
        name: statistics.name.to_string(),
        index: statistics.index,
        rx_bytes: counters.rx_bytes,
        tx_bytes: counters.tx_bytes,
        rx_packets: counters.rx_packets,
        tx_packets: counters.tx_packets,
        rx_errors: counters.rx_errors,
        tx_errors: counters.tx_errors,
        rx_dropped: counters.rx_dropped,
        tx_dropped: counters.tx_dropped,
        multicast: counters.multicast,
        collisions: counters.collisions,
        rx_length_errors: counters.rx_length_errors,
        rx_over_errors: counters.rx_over_errors,
        rx_crc_errors: counters.rx_crc_errors,
        rx_frame_errors: counters.rx_frame_errors,
        rx_fifo_errors: counters.rx_fifo_errors,
        rx_missed_errors: counters.rx_missed_errors,
        tx_aborted_errors: counters.tx_aborted_errors,
        tx_carrier_errors: counters.tx_carrier_errors,
        tx_fifo_errors: counters.tx_fifo_errors,
        rx_nohandler: counters.rx_nohandler,
    }
}
