//! Keeps LLDP's listener on the NICs of the host: on its hardware, and on whatever else carries a network of ours.
//!
//! It looks at the links when the kernel or the journal tell of a change, at most once a second, and changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};
use trestle_lldp::{Listener, Lldp, OpenError};
use trestle_model::{HostConfig, IfName, KernelState, LinkKind, Southbound};
use trestle_netlink::{ConnectError, Kernel};
use trestle_telemetry::chain;

use crate::journal::{Contents, another};

/// How long changes are gathered before a look.
const SETTLE: Duration = Duration::from_secs(1);

/// The listener, and what tells it where to listen.
#[derive(Debug)]
pub(crate) struct Ears {
    listener: Listener,
    kernel: Kernel,
}

/// Opens the listener; a host on which nobody can listen has no neighbours, and works.
///
/// *Errors*: [`ConnectError`] where the kernel gives no netlink socket.
pub(crate) fn open() -> Result<(Lldp, Option<Ears>), ConnectError> {
    let kernel = Kernel::connect()?;
    match Listener::open() {
        Ok((lldp, listener)) => Ok((lldp, Some(Ears { listener, kernel }))),
        Err(OpenError(fault)) => {
            error!(error = %fault, "neighbours are not heard, give the agent CAP_NET_RAW");
            Ok((Lldp::deaf(), None))
        }
    }
}

impl Ears {
    /// Listens until `stop` is cancelled; `changed` counts what the kernel tells, `kept` is the journal.
    ///
    /// *Cancel safety*: safe.
    pub(crate) async fn run(
        self,
        mut changed: watch::Receiver<u64>,
        mut kept: watch::Receiver<Arc<Contents>>,
        stop: CancellationToken,
    ) {
        let Self { listener, kernel } = self;
        let (told, nics) = watch::channel(BTreeMap::new());
        let follow = async {
            loop {
                let known = Arc::clone(&kept.borrow());
                match kernel.look(&BTreeSet::new()).await {
                    Ok(look) => {
                        let wanted = listened(&look.state, &known.running);
                        told.send_if_modified(|known| std::mem::replace(known, wanted.clone()) != wanted);
                    }
                    Err(error) => debug!(error = %chain(&error), "links not read for LLDP"),
                }
                // Cancel safety: both arms wait for a change of a level.
                tokio::select! {
                    Ok(()) = changed.changed() => {}
                    Ok(_) = another(&mut kept, &known) => {}
                    else => std::future::pending().await,
                }
                sleep(SETTLE).await;
                changed.mark_unchanged();
            }
        };
        // Cancel safety: looking and waiting are.
        tokio::select! {
            () = listener.run(nics, stop) => {}
            () = follow => {}
        }
    }
}

/// Returns the devices that are listened on, by index.
fn listened(state: &KernelState, running: &HostConfig) -> BTreeMap<u32, IfName> {
    let southbounds = running.specs().filter_map(|spec| spec.southbound.as_ref()).map(Southbound::device);
    let ports = running.bonds.values().flat_map(|bond| &bond.spec.nics);
    let ours: BTreeSet<&IfName> = southbounds.chain(ports).collect();
    let links = state.links.values();
    links
        .filter(|link| match link.kind {
            LinkKind::Nic => true,
            LinkKind::Veth | LinkKind::Other(_) => ours.contains(&link.name),
            LinkKind::Vlan { .. } | LinkKind::Bridge(_) | LinkKind::Bond(_) | LinkKind::Tun | LinkKind::Loopback => {
                false
            }
        })
        .map(|link| (link.index, link.name.clone()))
        .collect()
}
