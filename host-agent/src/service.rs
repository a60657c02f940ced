//! The local service, `trestle.host.v1.HostAgent`: parses, calls the use cases, and answers. It holds no rule.

use std::pin::Pin;

use futures_util::Stream;
use futures_util::stream::unfold;
use tonic::{Request, Response, Status};
use trestle_model::{Code, Finding, Origin, TransactionId};
use trestle_proto::host::v1 as wire;
use trestle_proto::host::v1::host_agent_server::{HostAgent, HostAgentServer};
use trestle_proto::page::{Page, next_token};
use trestle_proto::{host_wire, status};
use trestle_serve::deadline::Deadline;
use trestle_serve::identity::peer;
use trestle_serve::{MAX_RECEIVE_BYTES, MAX_SEND_BYTES, Peer};
use uuid::Uuid;

use crate::clock;
use crate::observer::{Watcher, Watches};
use crate::site::Site;
use crate::transaction::{Agent, Caller, Confirmer, Refusal, Running};
use crate::wire::{news, parts, refusal, result, transaction};

/// The path of the call that may take longer than any default deadline.
pub const SETUP_PATH: &str = "/trestle.host.v1.HostAgent/SetupNetworks";

/// The path of the call that lasts until somebody ends it.
pub const WATCH_PATH: &str = "/trestle.host.v1.HostAgent/WatchHost";

/// The path of the call that waits for its turn, and for guests that release a device.
pub const PLUG_PATH: &str = "/trestle.host.v1.HostAgent/SetDomainInterfaces";

/// The list that a page token of the history belongs to.
const HISTORY: &str = "transactions";

/// The service over the agent's use cases.
#[derive(Debug)]
pub struct Service<H> {
    agent: Agent<H>,
    watches: Watches,
}

type WatchEvents = Pin<Box<dyn Stream<Item = Result<wire::WatchHostResponse, Status>> + Send>>;

type Events = Pin<Box<dyn Stream<Item = Result<wire::SetupNetworksResponse, Status>> + Send>>;

impl<H: Site> Service<H> {
    /// Makes the service, ready to be served.
    pub fn new(agent: Agent<H>, watches: Watches) -> HostAgentServer<Self> {
        HostAgentServer::new(Self { agent, watches })
            .max_decoding_message_size(MAX_RECEIVE_BYTES)
            .max_encoding_message_size(MAX_SEND_BYTES)
    }
}

#[tonic::async_trait]
impl<H: Site> HostAgent for Service<H> {
    type SetupNetworksStream = Events;
    type WatchHostStream = WatchEvents;

    async fn setup_networks(&self, request: Request<wire::SetupNetworksRequest>) -> Result<Response<Events>, Status> {
        let caller = caller(&request)?;
        let context = host_wire::SetupContext { origin: Origin::Local, fresh: TransactionId(Uuid::now_v7()) };
        let request = host_wire::parse_setup(request.get_ref(), context).map_err(status::Refusal::malformed)?;
        let transaction = request.options.transaction;
        let running = self.agent.setup(request, caller).map_err(|why| refusal(&why))?;
        Ok(Response::new(Box::pin(events(transaction, running))))
    }

    async fn get_capabilities(
        &self,
        request: Request<wire::GetCapabilitiesRequest>,
    ) -> Result<Response<wire::GetCapabilitiesResponse>, Status> {
        admitted(&request)?;
        let mask = host_wire::ReadMask::parse(request.get_ref().read_mask.as_ref());
        let mask = mask.map_err(status::Refusal::malformed)?;
        let capabilities = self.agent.capabilities(&parts(&mask)).await.map_err(|why| refusal(&why))?;
        let capabilities = mask.apply(host_wire::build_capabilities(&capabilities));
        Ok(Response::new(wire::GetCapabilitiesResponse { capabilities: Some(capabilities) }))
    }

    async fn get_statistics(
        &self,
        request: Request<wire::GetStatisticsRequest>,
    ) -> Result<Response<wire::GetStatisticsResponse>, Status> {
        admitted(&request)?;
        let names = host_wire::parse_statistics(request.get_ref()).map_err(status::Refusal::malformed)?;
        let statistics = self.agent.statistics(names.as_ref()).await.map_err(|why| refusal(&why))?;
        Ok(Response::new(host_wire::build_statistics(&statistics, clock::now_ms())))
    }

    async fn watch_host(&self, request: Request<wire::WatchHostRequest>) -> Result<Response<WatchEvents>, Status> {
        admitted(&request)?;
        let asked = host_wire::parse_watch(request.get_ref()).map_err(status::Refusal::malformed)?;
        let watcher = self.watches.open(asked.resume.as_deref(), asked.kinds).await.map_err(|why| refusal(&why))?;
        Ok(Response::new(Box::pin(told(watcher))))
    }

    async fn confirm_networks(
        &self,
        request: Request<wire::ConfirmNetworksRequest>,
    ) -> Result<Response<wire::ConfirmNetworksResponse>, Status> {
        let actor = admitted(&request)?;
        let transaction = host_wire::parse_transaction(&request.get_ref().transaction_id, "transaction_id");
        let transaction = transaction.map_err(status::Refusal::malformed)?;
        self.agent.confirm(transaction, Confirmer::Local(actor)).await.map_err(|why| refusal(&why))?;
        Ok(Response::new(wire::ConfirmNetworksResponse {}))
    }

    async fn commit_networks(
        &self,
        request: Request<wire::CommitNetworksRequest>,
    ) -> Result<Response<wire::CommitNetworksResponse>, Status> {
        admitted(&request)?;
        let persistent_hash = self.agent.commit().await.map_err(|why| refusal(&why))?;
        Ok(Response::new(wire::CommitNetworksResponse { persistent_hash }))
    }

    async fn list_transactions(
        &self,
        request: Request<wire::ListTransactionsRequest>,
    ) -> Result<Response<wire::ListTransactionsResponse>, Status> {
        admitted(&request)?;
        let wire::ListTransactionsRequest { page_size, page_token } = request.into_inner();
        let page = Page::parse(page_size, &page_token, HISTORY).map_err(status::Refusal::malformed)?;
        // A token that fits this list holds a position that was given out.
        let before = page.after.and_then(|position| position.parse().ok());
        let history = self.agent.history(before, page.size).await.map_err(|why| refusal(&why))?;
        let next_page_token =
            history.more_before.map(|position| next_token(HISTORY, &position.to_string())).unwrap_or_default();
        let transactions = history.past.into_iter().map(transaction).collect();
        Ok(Response::new(wire::ListTransactionsResponse { transactions, next_page_token }))
    }

    async fn set_domain_interfaces(
        &self,
        request: Request<wire::SetDomainInterfacesRequest>,
    ) -> Result<Response<wire::SetDomainInterfacesResponse>, Status> {
        let caller = caller(&request)?;
        let wish = host_wire::parse_plug(request.get_ref()).map_err(status::Refusal::malformed)?;
        let report = self.agent.plug(wish, caller).await.map_err(|why| refusal(&why))?;
        Ok(Response::new(host_wire::build_plugged(&report)))
    }
}

/// Returns who calls, and until when the answer is of use.
fn caller<T>(request: &Request<T>) -> Result<Caller, Status> {
    Ok(Caller { actor: admitted(request)?, begin_by: request.extensions().get().map(|Deadline(until)| *until) })
}

/// Returns who calls, as logs and confirmations name them; the agent of another host has nothing to ask here.
fn admitted<T>(request: &Request<T>) -> Result<String, Status> {
    match peer(request)? {
        caller @ (Peer::Local | Peer::User(_) | Peer::Engine) => Ok(caller.to_string()),
        Peer::Host(_) => {
            let finding = Finding::error(Code::PermissionDenied, "", "an agent may not ask another host's agent");
            Err(status::Refusal::from(finding).into())
        }
    }
}

/// Turns a running request into the call's answer: progress, then the result or the refusal.
fn events(
    transaction: TransactionId,
    running: Running,
) -> impl Stream<Item = Result<wire::SetupNetworksResponse, Status>> + Send {
    unfold(Some(running), move |running| async move {
        let Running { mut progress, end } = running?;
        if let Some(sign) = progress.recv().await {
            return Some((Ok(host_wire::build_progress(&sign, transaction)), Some(Running { progress, end })));
        }
        let last = match end.await.unwrap_or(Err(Refusal::Stopping)) {
            Ok(answer) => Ok(host_wire::result_event(result(&answer))),
            Err(why) => Err(refusal(&why).into()),
        };
        Some((last, None))
    })
}

/// Turns a watch into the call's answer; a refusal ends it.
fn told(watcher: Watcher) -> impl Stream<Item = Result<wire::WatchHostResponse, Status>> + Send {
    unfold(Some(watcher), async |watcher| {
        let mut watcher = watcher?;
        match watcher.next().await {
            Ok((what, token)) => Some((Ok(news(&what, token)), Some(watcher))),
            Err(why) => Some((Err(refusal(&why).into()), None)),
        }
    })
}

#[cfg(test)]
mod findings;
#[cfg(test)]
mod tests;
