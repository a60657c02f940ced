//! Static routes of a network.

use std::fmt::Display;
use std::str::FromStr;

use trestle_model::{BadRoute, Code, Finding, StaticRoute};

use crate::form::{Form, quoted};
use crate::host::v1 as wire;

/// Reads routes, and notes every violation under the route's own path.
pub(crate) fn read_routes(form: &mut Form, path: &str, routes: &[wire::StaticRoute]) -> Vec<StaticRoute> {
    let mut read: Vec<StaticRoute> = Vec::new();
    for (position, given) in routes.iter().enumerate() {
        let path = format!("{path}[{position}]");
        let Some(route) = read_route(form, &path, given) else { continue };
        if read.iter().any(|earlier| earlier.rivals(&route)) {
            let message = format!("{} with metric {} is given twice", route.destination(), route.metric());
            let finding = Finding::error(Code::Duplicate, path, message);
            form.note(finding.remedy("give each destination once, or with different metrics"));
            continue;
        }
        read.push(route);
    }
    read
}

/// Builds the wire's form of routes.
pub(crate) fn build_routes(routes: &[StaticRoute]) -> Vec<wire::StaticRoute> {
    let build = |route: &StaticRoute| wire::StaticRoute {
        destination: route.destination().to_string(),
        next_hop: route.next_hop().to_string(),
        metric: route.metric(),
    };
    routes.iter().map(build).collect()
}

fn read_route(form: &mut Form, path: &str, given: &wire::StaticRoute) -> Option<StaticRoute> {
    let (to, through) = (format!("{path}.destination"), format!("{path}.next_hop"));
    let destination = read_part(form, &to, &given.destination, "write it as 198.51.100.0/24 or 2001:db8::/32");
    let next_hop = read_part(form, &through, &given.next_hop, "give an address without prefix length");
    let faults = match StaticRoute::new(destination?, next_hop?, given.metric) {
        Ok(route) => return Some(route),
        Err(faults) => faults,
    };
    for fault in faults {
        let (path, remedy) = match &fault {
            BadRoute::DefaultDestination(_) => {
                (&to, "give the gateway in ipv4 or ipv6, and claim default_route".to_owned())
            }
            BadRoute::HostBits(net) => (&to, format!("write it as {}", net.trunc())),
            BadRoute::NotADestination(_) => (&to, "give a unicast network".to_owned()),
            BadRoute::NotANextHop(_) => (&through, "give a router's unicast address".to_owned()),
            BadRoute::MixedFamilies(..) => (&through, "give a next hop of the destination's family".to_owned()),
        };
        form.note(Finding::error(Code::RouteInvalid, path, fault.to_string()).remedy(remedy));
    }
    None
}

fn read_part<T: FromStr<Err: Display>>(form: &mut Form, path: &str, text: &str, remedy: &str) -> Option<T> {
    if text.is_empty() {
        form.missing(path, remedy);
        return None;
    }
    let bad = |bad| Finding::error(Code::RouteInvalid, path, format!("{}: {bad}", quoted(text))).remedy(remedy);
    text.parse().map_err(|error: T::Err| form.note(bad(error))).ok()
}
