//! What hosts resolve names with.

use trestle_model::ResolverNames;

use crate::engine::v1 as wire;
use crate::form::Form;
use crate::host_wire::{read_nameservers, read_search_domains};

pub(super) fn read_dns(form: &mut Form, path: &str, dns: &wire::Dns) -> ResolverNames {
    ResolverNames {
        servers: read_nameservers(form, &format!("{path}.nameservers"), &dns.nameservers),
        search: read_search_domains(form, &format!("{path}.search_domains"), &dns.search_domains),
    }
}

pub(super) fn build_dns(names: &ResolverNames) -> wire::Dns {
    wire::Dns {
        nameservers: names.servers.iter().map(ToString::to_string).collect(),
        search_domains: names.search.iter().map(ToString::to_string).collect(),
    }
}
