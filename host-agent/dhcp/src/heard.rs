//! What routers have said and is not over.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::time::Duration;

use ipnet::Ipv6Net;
use tokio::time::Instant;
use trestle_model::{Advertised, IfName, RouterPreference, SearchDomain};

use crate::advertisement::{Advertisement, FOREVER};

/// What routers of all devices have said, bounded: whoever is beyond the bounds is not heard.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// By the index of the device and the address of the router.
    routers: BTreeMap<(u32, Ipv6Addr), Router>,
}

/// What one router has said; each thing with its end.
#[derive(Debug, Default)]
struct Router {
    default: Vec<(RouterPreference, End)>,
    on_link: Vec<(Ipv6Net, End)>,
    autonomous: Vec<(Ipv6Net, End)>,
    nameservers: Vec<(Ipv6Addr, End)>,
    search: Vec<(SearchDomain, End)>,
}

/// When something is over; `None` for never.
type End = Option<Instant>;

/// The most routers of one device.
const ROUTERS: usize = 8;
/// The most things of a kind that one router may say.
const THINGS: usize = 16;

impl Heard {
    /// Takes what a router says to the device with an index.
    pub(crate) fn take(&mut self, index: u32, address: Ipv6Addr, said: Advertisement, now: Instant) {
        let of_device = self.routers.range((index, Ipv6Addr::UNSPECIFIED)..).take_while(|((of, _), _)| *of == index);
        if of_device.count() >= ROUTERS && !self.routers.contains_key(&(index, address)) {
            return;
        }
        let router = self.routers.entry((index, address)).or_default();
        router.default.clear();
        note(&mut router.default, said.preference, said.lifetime_s, now);
        for prefix in said.prefixes {
            if prefix.on_link {
                note(&mut router.on_link, prefix.net, prefix.valid_s, now);
            }
            if prefix.autonomous {
                note(&mut router.autonomous, prefix.net, prefix.valid_s, now);
            }
        }
        said.nameservers.into_iter().for_each(|(server, time)| note(&mut router.nameservers, server, time, now));
        said.search.into_iter().for_each(|(domain, time)| note(&mut router.search, domain, time, now));
        self.end(now);
    }

    /// Forgets what is over.
    pub(crate) fn end(&mut self, now: Instant) {
        for router in self.routers.values_mut() {
            router.default.retain(|(_, end)| lasts(*end, now));
            router.on_link.retain(|(_, end)| lasts(*end, now));
            router.autonomous.retain(|(_, end)| lasts(*end, now));
            router.nameservers.retain(|(_, end)| lasts(*end, now));
            router.search.retain(|(_, end)| lasts(*end, now));
        }
        self.routers.retain(|_, router| router.ends().next().is_some());
    }

    /// Forgets what routers have said to a device.
    pub(crate) fn forget(&mut self, index: u32) {
        self.routers.retain(|(of, _), _| *of != index);
    }

    /// Tells whether a router of the device has said anything that is not over.
    pub(crate) fn has_heard(&self, index: u32) -> bool {
        self.routers.keys().any(|(of, _)| *of == index)
    }

    /// Returns when the next thing is over.
    pub(crate) fn next_end(&self) -> Option<Instant> {
        self.routers.values().flat_map(Router::ends).flatten().min()
    }

    /// Tells what is in force, by device; a device without a name is gone.
    pub(crate) fn in_force(&self, name: impl Fn(u32) -> Option<IfName>) -> Vec<Advertised> {
        let told = self.routers.iter().filter_map(|((index, address), router)| {
            Some(Advertised {
                link: name(*index)?,
                router: *address,
                preference: router.default.first().map(|(preference, _)| *preference),
                on_link: sorted(&router.on_link),
                autonomous: sorted(&router.autonomous),
                nameservers: router.nameservers.iter().map(|(server, _)| *server).collect(),
                search: router.search.iter().map(|(domain, _)| domain.clone()).collect(),
            })
        });
        told.collect()
    }
}

impl Router {
    fn ends(&self) -> impl Iterator<Item = End> {
        let default = self.default.iter().map(|(_, end)| *end);
        let prefixes = self.on_link.iter().chain(&self.autonomous).map(|(_, end)| *end);
        let names = self.nameservers.iter().map(|(_, end)| *end).chain(self.search.iter().map(|(_, end)| *end));
        default.chain(prefixes).chain(names)
    }
}

/// Notes a thing with its new end, in its place where it was said before; what ends at once goes with the next end.
fn note<T: PartialEq>(things: &mut Vec<(T, End)>, thing: T, lifetime_s: u32, now: Instant) {
    let end = (lifetime_s != FOREVER).then(|| now + Duration::from_secs(lifetime_s.into()));
    if let Some((_, before)) = things.iter_mut().find(|(known, _)| *known == thing) {
        *before = end;
    } else if things.len() < THINGS {
        things.push((thing, end));
    }
}

fn lasts(end: End, now: Instant) -> bool {
    end.is_none_or(|end| end > now)
}

fn sorted(nets: &[(Ipv6Net, End)]) -> Vec<Ipv6Net> {
    let mut nets: Vec<Ipv6Net> = nets.iter().map(|(net, _)| *net).collect();
    nets.sort();
    nets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(lifetime_s: u32, servers: &[(&str, u32)]) -> Advertisement {
        let nameservers = servers.iter().map(|(server, time)| (server.parse().unwrap(), *time)).collect();
        Advertisement {
            preference: RouterPreference::Medium,
            lifetime_s,
            prefixes: Vec::new(),
            nameservers,
            search: Vec::new(),
        }
    }

    fn servers(heard: &Heard) -> Vec<String> {
        let all = heard.in_force(|index| IfName::parse(&format!("eth{index}")).ok());
        all.iter().flat_map(|told| &told.nameservers).map(ToString::to_string).collect()
    }

    #[tokio::test]
    async fn what_is_said_lasts_as_long_as_its_own_lifetime() {
        let (mut heard, now) = (Heard::default(), Instant::now());
        let after = |seconds| now + Duration::from_secs(seconds);
        let router = "fe80::1".parse().unwrap();
        heard.take(1, router, said(30, &[("2001:db8::1", 10), ("2001:db8::2", FOREVER)]), now);
        assert_eq!(heard.next_end(), Some(after(10)));
        heard.end(after(10));
        assert_eq!((servers(&heard), heard.next_end()), (vec!["2001:db8::2".to_owned()], Some(after(30))));
        heard.end(after(30));
        assert_eq!(heard.in_force(|_| IfName::parse("eth1").ok())[0].preference, None);
        assert_eq!((heard.next_end(), heard.has_heard(1)), (None, true));
        // Said again with no lifetime it is over, and with it the router.
        heard.take(1, router, said(0, &[("2001:db8::2", 0)]), after(31));
        assert_eq!((servers(&heard), heard.has_heard(1)), (vec![], false));
    }

    #[tokio::test]
    async fn a_flood_of_routers_is_not_kept() {
        let (mut heard, now) = (Heard::default(), Instant::now());
        for number in 0..1000 {
            let many: Vec<_> = (0..100).map(|server| (format!("2001:db8::{number:x}:{server:x}"), 600)).collect();
            let many: Vec<_> = many.iter().map(|(server, time)| (server.as_str(), *time)).collect();
            heard.take(1, Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, number), said(600, &many), now);
        }
        heard.take(2, "fe80::1".parse().unwrap(), said(600, &[("2001:db8::1", 600)]), now);
        assert_eq!(servers(&heard).len(), ROUTERS * THINGS + 1, "those of another device are heard all the same");
        heard.forget(1);
        assert_eq!(servers(&heard), ["2001:db8::1"]);
    }
}
