//! Counters of devices: one dump of the links, this time with them.

use std::collections::BTreeSet;

use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::{LinkAttribute, LinkMessage, Stats64};
use trestle_model::{Counters, IfName, LinkStatistics};
use trestle_plan::ObserveError;

use super::{pick, reason};
use crate::socket::Socket;

/// Reads the counters of the devices called `names`, or of all; ordered by name.
pub(crate) async fn read(
    socket: &Socket,
    names: Option<&BTreeSet<IfName>>,
) -> Result<Vec<LinkStatistics>, ObserveError> {
    let answers =
        socket.dump(RouteNetlinkMessage::GetLink(LinkMessage::default())).await.map_err(reason("counters"))?;
    let mut statistics: Vec<LinkStatistics> = answers
        .iter()
        .filter_map(|answer| if let RouteNetlinkMessage::NewLink(link) = answer { of(link) } else { None })
        .filter(|link| names.is_none_or(|names| names.contains(&link.name)))
        .collect();
    statistics.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(statistics)
}

fn of(link: &LinkMessage) -> Option<LinkStatistics> {
    Some(LinkStatistics {
        name: IfName::parse(pick!(link.attributes, LinkAttribute::IfName)?).ok()?,
        index: link.header.index,
        counters: counters(pick!(link.attributes, LinkAttribute::Stats64)?),
    })
}

const fn counters(stats: &Stats64) -> Counters {
    Counters {
        rx_bytes: stats.rx_bytes,
        tx_bytes: stats.tx_bytes,
        rx_packets: stats.rx_packets,
        tx_packets: stats.tx_packets,
        rx_errors: stats.rx_errors,
        tx_errors: stats.tx_errors,
        rx_dropped: stats.rx_dropped,
        tx_dropped: stats.tx_dropped,
        multicast: stats.multicast,
        collisions: stats.collisions,
        rx_length_errors: stats.rx_length_errors,
        rx_over_errors: stats.rx_over_errors,
        rx_crc_errors: stats.rx_crc_errors,
        rx_frame_errors: stats.rx_frame_errors,
        rx_fifo_errors: stats.rx_fifo_errors,
        rx_missed_errors: stats.rx_missed_errors,
        tx_aborted_errors: stats.tx_aborted_errors,
        tx_carrier_errors: stats.tx_carrier_errors,
        tx_fifo_errors: stats.tx_fifo_errors,
        rx_nohandler: stats.rx_nohandler,
    }
}
