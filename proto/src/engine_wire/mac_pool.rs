//! MAC pools.

use trestle_model::fleet::{MacPool, Meta};
use trestle_model::{Code, Finding, MacRange, ResourceId};

use super::Resource;
use super::resource::shape;
use crate::engine::v1 as wire;
use crate::form::Form;

const RANGES: &str = "mac_pool.spec.ranges";
/// The most ranges of a pool.
const MOST_RANGES: usize = 256;

impl Resource for wire::MacPool {
    shape!(
        MacPool,
        "mac_pool",
        "macPools/{pool}",
        ResourceId,
        pool => (pool),
        build_spec,
        status: build_status
    );

    fn parts(pool: &MacPool) -> (ResourceId, &Meta) {
        (pool.id.clone(), &pool.meta)
    }

    fn read(&self, form: &mut Form, id: ResourceId, meta: Meta) -> Option<MacPool> {
        let spec = self.spec.clone().unwrap_or_default();
        if spec.ranges.is_empty() {
            form.missing(RANGES, "give at least one range");
        }
        if spec.ranges.len() > MOST_RANGES {
            let message = format!("the pool has {} ranges, at most {MOST_RANGES} are kept", spec.ranges.len());
            form.note(Finding::error(Code::TooLong, RANGES, message).remedy("join ranges, or make several pools"));
        }
        let ranges = spec.ranges.iter().enumerate();
        let ranges = ranges.filter_map(|(position, range)| read_range(form, &format!("{RANGES}[{position}]"), range));
        Some(MacPool {
            id,
            meta,
            description: spec.description,
            ranges: ranges.collect(),
            allow_duplicates: spec.allow_duplicates,
        })
    }
}

fn read_range(form: &mut Form, path: &str, range: &wire::MacRange) -> Option<MacRange> {
    let first = form.mac(&format!("{path}.first"), &range.first);
    let last = form.mac(&format!("{path}.last"), &range.last);
    MacRange::new(first?, last?)
        .map_err(|bad| {
            let finding = Finding::error(Code::MacInvalid, path, format!("the range is none: {bad}"));
            form.note(finding.remedy("give the lower end first, and at most 2^32 addresses"));
        })
        .ok()
}

/// How much of it is used, the pool does not know.
const fn build_status(_: &MacPool) -> Option<wire::MacPoolStatus> {
    None
}

fn build_spec(pool: &MacPool) -> wire::MacPoolSpec {
    let range = |range: &MacRange| wire::MacRange { first: range.first().to_string(), last: range.last().to_string() };
    wire::MacPoolSpec {
        description: pool.description.clone(),
        ranges: pool.ranges.iter().map(range).collect(),
        allow_duplicates: pool.allow_duplicates,
    }
}
