//! The kernel's tables as one snapshot in the words of the model.

mod addresses;
mod forwarding;
mod links;
mod routes;

use std::collections::BTreeMap;

use trestle_model::{IfName, KernelState};
use trestle_plan::ObserveError;

use crate::failure::Failure;
use crate::socket::Socket;

pub(crate) use addresses::{is_tentative, on_device as addresses_on_device};
pub(crate) use routes::of_family as routes_of_family;

/// Names of devices by index, as one dump of the links told them.
pub(crate) type Names = BTreeMap<u32, IfName>;

/// Returns the value of the first of `$attributes` that is a `$variant`.
macro_rules! pick {
    ($attributes:expr, $variant:path) => {
        $attributes.iter().find_map(|attribute| if let $variant(value) = attribute { Some(value) } else { None })
    };
}
pub(crate) use pick;

/// Reads one snapshot.
///
/// Links come first: what the later dumps tell of a device that the first did not show is left out.
pub(crate) async fn observe(socket: &Socket) -> Result<KernelState, ObserveError> {
    let messages = links::dump(socket).await.map_err(reason("links"))?;
    let names = links::names(&messages);
    let mut links = links::links(&messages, &names);
    addresses::add_to(&mut links, socket, &names).await.map_err(reason("addresses"))?;
    let routes = routes::all(socket, &names).await.map_err(reason("routes"))?;
    let fdb = forwarding::entries(socket, &names).await.map_err(reason("forwarding entries"))?;
    Ok(KernelState { links, routes, fdb })
}

/// Reads the names of all devices.
pub(crate) async fn names(socket: &Socket) -> Result<Names, Failure> {
    Ok(links::names(&links::dump(socket).await?))
}

fn reason(what: &'static str) -> impl Fn(Failure) -> ObserveError {
    move |failure| ObserveError::Kernel(format!("{what}: {failure}"))
}
