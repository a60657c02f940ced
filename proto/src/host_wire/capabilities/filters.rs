//! What network filters of a host's libvirt do.

use std::collections::BTreeMap;

use trestle_model::{Code, FilterEffects, Finding};

use crate::form::{Form, quoted};
use crate::host::v1 as wire;

/// How many filters a report tells; libvirt has about 20 of its own.
const MOST: usize = 1000;
/// The longest name, in bytes.
const NAME_LIMIT: usize = 1024;

/// Builds the reports, ordered by name; of more than a report tells, the first.
pub(super) fn build(filters: &BTreeMap<String, FilterEffects>) -> Vec<wire::FilterReport> {
    let build = |(name, effects): (&String, &FilterEffects)| wire::FilterReport {
        name: name.clone(),
        stops_mac_spoofing: effects.stops_mac_spoofing,
        stops_guest_tags: effects.stops_guest_tags,
        lets_guest_send: effects.lets_guest_send,
    };
    filters.iter().take(MOST).map(build).collect()
}

/// Reads the reports.
pub(super) fn read(form: &mut Form, path: &str, filters: &[wire::FilterReport]) -> BTreeMap<String, FilterEffects> {
    if filters.len() > MOST {
        let message = format!("{} filters are more than {MOST}", filters.len());
        form.note(Finding::error(Code::TooLong, path, message));
    }
    let mut read = BTreeMap::new();
    for (position, filter) in filters.iter().take(MOST).enumerate() {
        let effects = FilterEffects {
            stops_mac_spoofing: filter.stops_mac_spoofing,
            stops_guest_tags: filter.stops_guest_tags,
            lets_guest_send: filter.lets_guest_send,
        };
        let is_legal = !filter.name.is_empty() && filter.name.len() <= NAME_LIMIT;
        if !is_legal || read.insert(filter.name.clone(), effects).is_some() {
            let message = format!("{} is no filter's name, or is there twice", quoted(&filter.name));
            form.note(Finding::error(Code::NameInvalid, format!("{path}[{position}].name"), message));
        }
    }
    read
}
