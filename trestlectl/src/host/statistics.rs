//! `host statistics`: shows what a host's devices have counted.

use trestle_proto::host::v1::{GetStatisticsRequest, InterfaceStatistics};
use trestle_proto::schema;

use super::{connect, timed};
use crate::arguments::{ReportFormat, Statistics};
use crate::context::Context;
use crate::engine::retry;
use crate::failure::Failure;
use crate::output;

/// Runs `host statistics`.
pub(super) async fn run(context: &Context, arguments: Statistics) -> Result<(), Failure> {
    let client = connect(context, &arguments.agent.agent).await?;
    let request = GetStatisticsRequest { names: arguments.names };
    let answer = retry::idempotent(|| async { client.clone().get_statistics(timed(context, request.clone())).await });
    let answer = answer.await.map_err(|status| Failure::of_call("statistics", status))?.into_inner();
    match arguments.output {
        ReportFormat::Json => output::json(&schema::dynamic("trestle.host.v1.GetStatisticsResponse", &answer)),
        ReportFormat::Table => {
            let heads = [
                "INTERFACE",
                "RX BYTES",
                "RX PACKETS",
                "RX ERRORS",
                "RX DROPPED",
                "MULTICAST",
                "TX BYTES",
                "TX PACKETS",
                "TX ERRORS",
                "TX DROPPED",
            ];
            output::table(heads, answer.interfaces.iter().map(row))
        }
    }
}

fn row(counted: &InterfaceStatistics) -> [String; 10] {
    let numbers = [
        counted.rx_bytes,
        counted.rx_packets,
        counted.rx_errors,
        counted.rx_dropped,
        counted.multicast,
        counted.tx_bytes,
        counted.tx_packets,
        counted.tx_errors,
        counted.tx_dropped,
    ];
    let [rx_bytes, rx_packets, rx_errors, rx_dropped, multicast, tx_bytes, tx_packets, tx_errors, tx_dropped] =
        numbers.map(|number| number.to_string());
    [
        counted.name.clone(),
        rx_bytes,
        rx_packets,
        rx_errors,
        rx_dropped,
        multicast,
        tx_bytes,
        tx_packets,
        tx_errors,
        tx_dropped,
    ]
}
