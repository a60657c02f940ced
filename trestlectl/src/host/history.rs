//! `host history`: shows the transactions of a host that ended.

use jiff::Timestamp;
use trestle_proto::host::v1::{ListTransactionsRequest, Outcome, Transaction};
use trestle_proto::schema;

use super::{connect, timed};
use crate::arguments::{self, ReportFormat};
use crate::context::Context;
use crate::engine::retry;
use crate::failure::Failure;
use crate::output::{self, or_dash};

/// The largest page that an agent gives.
const LARGEST_PAGE: usize = 1000;

/// Runs `host history`.
pub(super) async fn run(context: &Context, arguments: arguments::History) -> Result<(), Failure> {
    let client = connect(context, &arguments.agent.agent).await?;
    let mut transactions: Vec<Transaction> = Vec::new();
    let mut page_token = String::new();
    while transactions.len() < arguments.limit {
        let page_size = (arguments.limit - transactions.len()).min(LARGEST_PAGE);
        let request = ListTransactionsRequest { page_size: page_size.try_into().unwrap_or(i32::MAX), page_token };
        let answer =
            retry::idempotent(|| async { client.clone().list_transactions(timed(context, request.clone())).await });
        let answer = answer.await.map_err(|status| Failure::of_call("history", status))?.into_inner();
        transactions.extend(answer.transactions);
        page_token = answer.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    match arguments.output {
        ReportFormat::Json => {
            let messages: Vec<_> =
                transactions.iter().map(|one| schema::dynamic("trestle.host.v1.Transaction", one)).collect();
            output::json_array(&messages)
        }
        ReportFormat::Table => {
            let heads = ["ENDED", "BY", "OUTCOME", "NETWORKS", "STEPS", "TRANSACTION", "CAUSE"];
            output::table(heads, transactions.iter().map(row))
        }
    }
}

fn row(transaction: &Transaction) -> [String; 7] {
    let result = transaction.result.clone().unwrap_or_default();
    let outcome = match result.outcome() {
        Outcome::Applied if result.committed => "applied, persistent",
        Outcome::Applied => "applied",
        Outcome::Unchanged => "unchanged",
        Outcome::RolledBack => "rolled back",
        Outcome::RollbackFailed => "rollback failed",
        Outcome::Validated | Outcome::Unspecified => "unknown",
    };
    let asked = transaction.request.iter().flat_map(|request| &request.networks);
    let networks: Vec<String> =
        asked.map(|network| if network.remove { format!("-{}", network.name) } else { network.name.clone() }).collect();
    let cause = result.cause.map(|cause| format!("{}: {}", cause.code, cause.message)).unwrap_or_default();
    [
        ended(transaction),
        transaction.actor.clone(),
        outcome.to_owned(),
        or_dash(networks.join(",")),
        result.steps.len().to_string(),
        transaction.transaction_id.clone(),
        or_dash(cause),
    ]
}

fn ended(transaction: &Transaction) -> String {
    let end = transaction.end_time.and_then(|end| Timestamp::from_second(end.seconds).ok());
    or_dash(end.map(|end| end.to_string()).unwrap_or_default())
}
