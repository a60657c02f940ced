//! Where a finding points.

use trestle_model::fleet::{EntityId, Vnic, VnicProfile};
use trestle_model::{Code, Finding, Severity};

/// The resource that changes, and the first part of its field paths.
pub(crate) struct Spot {
    subject: EntityId,
}

impl Spot {
    /// Points at the resource that changes.
    pub(crate) const fn new(subject: EntityId) -> Self {
        Self { subject }
    }

    /// Tells whether `name` is that of the resource that changes.
    pub(crate) fn is_about(&self, name: &str) -> bool {
        self.subject.to_string() == name
    }

    /// Makes an error about `field`.
    pub(crate) fn error(&self, code: Code, field: &str, message: impl Into<String>) -> Finding {
        Finding::error(code, field, message).about(&self.subject)
    }

    /// Makes a warning about `field`.
    pub(crate) fn warning(&self, code: Code, field: &str, message: impl Into<String>) -> Finding {
        Finding::warning(code, field, message).about(&self.subject)
    }

    /// Makes a note about `field`.
    pub(crate) fn info(&self, code: Code, field: &str, message: impl Into<String>) -> Finding {
        Finding::info(code, field, message).about(&self.subject)
    }

    /// Makes a finding of any severity about `field`.
    pub(crate) fn finding(&self, severity: Severity, code: Code, field: &str, message: impl Into<String>) -> Finding {
        match severity {
            Severity::Error => self.error(code, field, message),
            Severity::Warning => self.warning(code, field, message),
            Severity::Info => self.info(code, field, message),
        }
    }

    /// Makes the error for a resource that the change refers to and that does not exist.
    pub(crate) fn missing(&self, field: &str, reference: &EntityId) -> Finding {
        self.error(Code::ReferenceNotFound, field, format!("{reference} does not exist"))
            .related([reference.to_string()])
            .remedy(format!("create {reference} first"))
    }

    /// Makes the error for a resource that cannot go since `users` need it; `None` where nobody does.
    pub(crate) fn in_use(&self, field: &str, users: impl Into<Named>) -> Option<Finding> {
        let users = users.into();
        if users.is_empty() {
            return None;
        }
        let message = format!("{} is used by {users}", self.subject);
        Some(self.error(Code::InUse, field, message).related(users.names).remedy("change or remove the users first"))
    }
}

/// How many names a message spells out.
const SPELLED_OUT: usize = 3;
/// How many vNICs a finding names; a network has tens of thousands.
const VNICS_NAMED: usize = 100;

/// Resources in the way. All are named but vNICs, of which there may be too many: the first hundred are, and the
/// message tells how many there are.
#[derive(Debug, Default)]
pub(crate) struct Named {
    /// The names that a finding relates to.
    pub(crate) names: Vec<String>,
    unnamed: usize,
}

impl Named {
    /// Names vNICs, as far as they are to be.
    pub(crate) fn vnics<'a>(vnics: impl IntoIterator<Item = &'a Vnic>) -> Self {
        let mut vnics = vnics.into_iter();
        let names = vnics.by_ref().take(VNICS_NAMED).map(vnic_name).collect();
        Self { names, unnamed: vnics.count() }
    }

    /// Puts others behind these.
    pub(crate) fn and(mut self, others: Self) -> Self {
        self.names.extend(others.names);
        self.unnamed += others.unnamed;
        self
    }

    /// Tells whether nothing is in the way.
    pub(crate) const fn is_empty(&self) -> bool {
        self.names.is_empty() && self.unnamed == 0
    }
}

impl From<Vec<String>> for Named {
    fn from(names: Vec<String>) -> Self {
        Self { names, unnamed: 0 }
    }
}

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&spell(&self.names, self.unnamed))
    }
}

/// Writes names for people: the first few, and how many more there are.
pub(crate) fn enumerate(names: &[String]) -> String {
    spell(names, 0)
}

/// Returns a vNIC's name on the wire.
pub(crate) fn vnic_name(vnic: &Vnic) -> String {
    EntityId::Vnic(vnic.vm, vnic.id.clone()).to_string()
}

/// Returns a profile's name on the wire.
pub(crate) fn profile_name(profile: &VnicProfile) -> String {
    EntityId::VnicProfile(profile.network.clone(), profile.id.clone()).to_string()
}

fn spell(names: &[String], unnamed: usize) -> String {
    let head = names.iter().take(SPELLED_OUT).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SPELLED_OUT) + unnamed {
        0 => head,
        more => format!("{head} and {more} more"),
    }
}
