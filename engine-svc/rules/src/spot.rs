//! Where a finding points.

use trestle_model::fleet::EntityId;
use trestle_model::{Code, Finding};

/// The resource that changes, and the first part of its field paths.
pub(crate) struct Spot {
    subject: EntityId,
}

impl Spot {
    /// Points at the resource that changes.
    pub(crate) const fn new(subject: EntityId) -> Self {
        Self { subject }
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

    /// Makes the error for a resource that the change refers to and that does not exist.
    pub(crate) fn missing(&self, field: &str, reference: &EntityId) -> Finding {
        self.error(Code::ReferenceNotFound, field, format!("{reference} does not exist"))
            .related([reference.to_string()])
            .remedy(format!("create {reference} first"))
    }

    /// Makes the error for a resource that cannot go since `users` need it; `None` where nobody does.
    pub(crate) fn in_use(&self, field: &str, users: Vec<String>) -> Option<Finding> {
        if users.is_empty() {
            return None;
        }
        let message = format!("{} is used by {}", self.subject, enumerate(&users));
        Some(self.error(Code::InUse, field, message).related(users).remedy("change or remove the users first"))
    }
}

/// How many names a message spells out; a finding's related resources are always complete.
const SPELLED_OUT: usize = 3;

/// Writes names for people: the first few, and how many more there are.
pub(crate) fn enumerate(names: &[String]) -> String {
    let head = names.iter().take(SPELLED_OUT).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(SPELLED_OUT) {
        None | Some(0) => head,
        Some(more) => format!("{head} and {more} more"),
    }
}
