//! The kernel's tables as one snapshot in the words of the model.

mod addresses;
mod bonds;
mod carriers;
mod egress;
mod forwarding;
mod links;
mod routes;
mod rules;
mod settings;
mod statistics;
mod virtual_functions;
mod vlans;

use std::collections::{BTreeMap, BTreeSet};

use trestle_model::{IfName, KernelState, NicHardware};
use trestle_plan::ObserveError;

use crate::failure::Failure;
use crate::hardware;
use crate::nic_line::NicLine;
use crate::socket::Socket;

pub(crate) use addresses::{is_tentative, on_device as addresses_on_device};
pub use carriers::Carrier;
pub(crate) use carriers::read as carriers;
pub(crate) use routes::of_family as routes_of_family;
pub(crate) use statistics::read as statistics;

/// Names of devices by index, as one dump of the links told them.
pub(crate) type Names = BTreeMap<u32, IfName>;

/// A table of the kernel that is read beside the links.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Addresses, v4 and v6.
    Addresses,
    /// Routes, and Trestle's routing rules.
    Routes,
    /// Bridges' forwarding entries, and the VLANs of their ports.
    Forwarding,
    /// What queues what leaves devices.
    Egress,
    /// What is set on NICs.
    Settings,
    /// What hardware and drivers tell of NICs.
    Hardware,
}

/// What was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Look {
    /// Links, and the tables that were asked for.
    pub state: KernelState,
    /// What hardware and drivers tell of the devices that a network can stand on; empty unless asked for.
    pub hardware: BTreeMap<IfName, NicHardware>,
}

/// Returns the value of the first of `$attributes` that is a `$variant`.
macro_rules! pick {
    ($attributes:expr, $variant:path) => {
        $attributes.iter().find_map(|attribute| if let $variant(value) = attribute { Some(value) } else { None })
    };
}
pub(crate) use pick;

/// Reads one snapshot.
pub(crate) async fn observe(socket: &Socket, nics: &NicLine) -> Result<KernelState, ObserveError> {
    let tables = BTreeSet::from([Table::Addresses, Table::Routes, Table::Forwarding, Table::Egress, Table::Settings]);
    Ok(look(socket, nics, &tables).await?.state)
}

/// Reads the links and `tables`.
///
/// Links come first: what the later dumps tell of a device that the first did not show is left out.
pub(crate) async fn look(socket: &Socket, nics: &NicLine, tables: &BTreeSet<Table>) -> Result<Look, ObserveError> {
    let messages = links::dump(socket).await.map_err(reason("links"))?;
    let names = links::names(&messages);
    let mut look = Look::default();
    look.state.links = links::links(&messages, &names);
    for table in tables {
        match table {
            Table::Addresses => {
                addresses::add_to(&mut look.state.links, socket, &names).await.map_err(reason("addresses"))?;
            }
            Table::Routes => {
                look.state.routes = routes::all(socket, &names).await.map_err(reason("routes"))?;
                look.state.rules = rules::all(socket).await.map_err(reason("rules"))?;
            }
            Table::Forwarding => {
                look.state.fdb = forwarding::entries(socket, &names).await.map_err(reason("forwarding entries"))?;
                vlans::add_to(&mut look.state.links, socket, &names).await.map_err(reason("VLANs of ports"))?;
            }
            Table::Egress => {
                egress::add_to(&mut look.state.links, socket, &names).await.map_err(reason("queueing disciplines"))?;
            }
            Table::Settings => {
                settings::add_to(&mut look.state.links, socket, nics).await.map_err(reason("settings of NICs"))?;
            }
            Table::Hardware => look.hardware = hardware::read(links::places(&messages, &names)).await,
        }
    }
    Ok(look)
}

/// Reads the names of all devices.
pub(crate) async fn names(socket: &Socket) -> Result<Names, Failure> {
    Ok(links::names(&links::dump(socket).await?))
}

fn reason(what: &'static str) -> impl Fn(Failure) -> ObserveError {
    move |failure| ObserveError::Kernel(format!("{what}: {failure}"))
}
