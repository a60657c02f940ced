//! `host`: talks to one host's agent, without the engine.

mod adopt;
pub(crate) mod capabilities;
pub(crate) mod domain;
pub(crate) mod drift;
mod history;
mod list;
mod macs;
mod nic;
mod plug;
mod setup;
mod statistics;
mod watch;

use tonic::Request;
use trestle_proto::host::v1::host_agent_client::HostAgentClient;
use trestle_proto::host::v1::{CommitNetworksRequest, ConfirmNetworksRequest, Scope};
use trestle_serve::Connection;

use crate::arguments::{HostCommand, Whole};
use crate::context::Context;
use crate::engine::retry;
use crate::failure::Failure;
use crate::output;
use setup::{Wish, Yes};

/// Runs a `host` command.
///
/// # Errors
/// When the agent is not reached or refuses; for `setup` also when the host does not become what is wanted.
pub(crate) async fn run(context: &Context, command: HostCommand) -> Result<(), Failure> {
    match command {
        HostCommand::Setup(arguments) => setup::run(context, arguments).await,
        HostCommand::List(arguments) => list::run(context, arguments).await,
        HostCommand::Adopt(arguments) => adopt::run(context, arguments).await,
        HostCommand::Restore(arguments) => whole(context, Scope::Persistent, arguments).await,
        HostCommand::Clear(arguments) => whole(context, Scope::Everything, arguments).await,
        HostCommand::Plug(arguments) => plug::plug(context, arguments).await,
        HostCommand::Unplug(arguments) => plug::unplug(context, arguments).await,
        HostCommand::Capabilities(arguments) => capabilities::run(context, arguments).await,
        HostCommand::History(arguments) => history::run(context, arguments).await,
        HostCommand::Macs(arguments) => macs::run(context, arguments).await,
        HostCommand::Statistics(arguments) => statistics::run(context, arguments).await,
        HostCommand::Watch(arguments) => watch::run(context, arguments).await,
        HostCommand::Commit(agent) => {
            let client = connect(context, &agent.agent).await?;
            let answer = retry::idempotent(|| async {
                client.clone().commit_networks(timed(context, CommitNetworksRequest {})).await
            });
            let answer = answer.await.map_err(|status| Failure::of_call("commit", status))?.into_inner();
            output::data(format_args!("persistent {}", answer.persistent_hash))
        }
        HostCommand::Confirm { transaction, agent } => {
            confirm(context, &agent.agent, &transaction).await?;
            output::data(format_args!("{transaction} confirmed"))
        }
    }
}

/// Changes the host as a whole: `host restore` and `host clear`.
async fn whole(context: &Context, scope: Scope, arguments: Whole) -> Result<(), Failure> {
    let wish = Wish { networks: Vec::new(), bonds: Vec::new(), nics: Vec::new(), scope, adopt_devices: Vec::new() };
    setup::carry_out_if_wanted(context, wish, said(arguments.yes), arguments.change).await
}

fn said(yes: bool) -> Yes {
    if yes { Yes::Said } else { Yes::Ask }
}

/// Confirms a transaction over a connection made for it, which is the proof that the host is reached.
async fn confirm(context: &Context, agent: &str, transaction: &str) -> Result<(), Failure> {
    let client = connect(context, agent).await?;
    let request = ConfirmNetworksRequest { transaction_id: transaction.to_owned() };
    let answer = retry::idempotent(|| async { client.clone().confirm_networks(timed(context, request.clone())).await });
    answer.await.map(drop).map_err(|status| Failure::of_call(format!("confirm {transaction}"), status))
}

async fn connect(context: &Context, agent: &str) -> Result<HostAgentClient<Connection>, Failure> {
    let (target, options) = context.agent(agent)?;
    Ok(HostAgentClient::new(retry::connect(&target, &options).await?))
}

fn timed<T>(context: &Context, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(context.call_timeout());
    request
}
