//! Which part of a host's report is wanted.

use std::collections::BTreeSet;

use prost_types::FieldMask;
use trestle_model::{Code, Finding, Findings};

use crate::form::quoted;
use crate::host::v1::Capabilities;

/// The top-level fields of a report that are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadMask {
    wanted: BTreeSet<&'static str>,
}

impl ReadMask {
    /// The fields of a report, in their order.
    pub const FIELDS: [&'static str; 22] = [
        "networks",
        "nics",
        "routes",
        "kernel",
        "libvirt",
        "features",
        "agent_version",
        "boot_id",
        "generation",
        "dirty",
        "running_hash",
        "persistent_hash",
        "bonds",
        "bridges",
        "vlans",
        "uncommitted",
        "resolver",
        "uncommitted_bonds",
        "repairs",
        "managed_devices",
        "uncommitted_nics",
        "domains",
    ];

    /// Reads a mask; absent, empty and `*` mean all fields.
    ///
    /// *Errors*: `FIELD_MASK_INVALID` for each path that is no top-level field.
    pub fn parse(mask: Option<&FieldMask>) -> Result<Self, Findings> {
        let paths = mask.map(|mask| mask.paths.as_slice()).unwrap_or_default();
        let mut findings = Vec::new();
        let mut wanted = BTreeSet::new();
        for path in paths {
            if path == "*" {
                wanted.extend(Self::FIELDS);
            } else if let Some(field) = Self::FIELDS.iter().find(|field| *field == path) {
                wanted.insert(*field);
            } else {
                let message = format!("{} is no top-level field of a report", quoted(path));
                let finding = Finding::error(Code::FieldMaskInvalid, "read_mask", message);
                findings.push(finding.remedy(format!("give some of: {}", Self::FIELDS.join(", "))));
            }
        }
        if paths.is_empty() {
            wanted.extend(Self::FIELDS);
        }
        if findings.is_empty() { Ok(Self { wanted }) } else { Err(Findings(findings).sorted()) }
    }

    /// Tells whether some of `fields` are wanted.
    pub fn wants(&self, fields: &[&str]) -> bool {
        fields.iter().any(|field| self.wanted.contains(field))
    }

    /// Empties the fields that are not wanted.
    #[must_use]
    pub fn apply(&self, report: Capabilities) -> Capabilities {
        Capabilities {
            networks: self.keep("networks", report.networks),
            nics: self.keep("nics", report.nics),
            bonds: self.keep("bonds", report.bonds),
            routes: self.keep("routes", report.routes),
            kernel: self.keep("kernel", report.kernel),
            libvirt: self.keep("libvirt", report.libvirt),
            features: self.keep("features", report.features),
            agent_version: self.keep("agent_version", report.agent_version),
            boot_id: self.keep("boot_id", report.boot_id),
            generation: self.keep("generation", report.generation),
            dirty: self.keep("dirty", report.dirty),
            running_hash: self.keep("running_hash", report.running_hash),
            persistent_hash: self.keep("persistent_hash", report.persistent_hash),
            bridges: self.keep("bridges", report.bridges),
            vlans: self.keep("vlans", report.vlans),
            uncommitted: self.keep("uncommitted", report.uncommitted),
            resolver: self.keep("resolver", report.resolver),
            uncommitted_bonds: self.keep("uncommitted_bonds", report.uncommitted_bonds),
            repairs: self.keep("repairs", report.repairs),
            managed_devices: self.keep("managed_devices", report.managed_devices),
            uncommitted_nics: self.keep("uncommitted_nics", report.uncommitted_nics),
            domains: self.keep("domains", report.domains),
        }
    }

    fn keep<T: Default>(&self, field: &str, value: T) -> T {
        if self.wanted.contains(field) { value } else { T::default() }
    }
}
