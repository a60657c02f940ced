//! What a host says of its request for an interface, in words of the vNIC.

use trestle_model::Finding;
use trestle_model::fleet::{EntityId, Vnic};

/// Makes a host's finding one about the vNIC: its subject, and the field of the vNIC from which the request's field came.
pub(super) fn in_vnics_words(mut finding: Finding, vnic: &Vnic) -> Finding {
    finding.field = own_field(&finding.field).to_owned();
    finding.about(EntityId::Vnic(vnic.vm, vnic.id.clone()))
}

/// Returns the vNIC's field for one of a request, such as `set[3].filter.name`; none where it is about all of it, or about the domain.
fn own_field(asked: &str) -> &'static str {
    let field = asked.split_once(']').map_or("", |(_, rest)| rest.trim_start_matches('.'));
    // A network, its MTU and isolation, and a filter and rates come with the profile.
    match field.split(['.', '[']).next().unwrap_or_default() {
        "mac" => "spec.mac",
        "model" => "spec.model",
        "linked" => "spec.linked",
        "filter" if field.starts_with("filter.parameters") => "spec.filter_parameters",
        "network" | "mtu" | "isolated" | "bandwidth" | "filter" => "spec.profile",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_requests_become_those_of_the_vnic() {
        for (asked, own) in [
            ("set[0]", ""),
            ("set[3].mac", "spec.mac"),
            ("set[12].network", "spec.profile"),
            ("set[0].filter", "spec.profile"),
            ("set[0].filter.name", "spec.profile"),
            ("set[0].filter.parameters[2].value", "spec.filter_parameters"),
            ("set[0].bandwidth.inbound", "spec.profile"),
            ("set[0].model", "spec.model"),
            ("set[0].linked", "spec.linked"),
            ("remove[1]", ""),
            ("domain", ""),
            ("", ""),
        ] {
            assert_eq!(own_field(asked), own, "{asked}");
        }
    }
}
