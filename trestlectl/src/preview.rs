//! What would happen: the findings of writes that are not performed.

use trestle_proto::finding::v1::{Finding, Severity};
use trestle_proto::status::findings_of;

use crate::failure::{Failure, findings_text};
use crate::output;

/// Prints what would become of each resource, and keeps count of those that the rules would refuse.
#[derive(Debug)]
pub(crate) struct Preview<'a> {
    acknowledged: &'a [String],
    refused: Vec<String>,
}

impl<'a> Preview<'a> {
    pub(crate) const fn new(acknowledged: &'a [String]) -> Self {
        Self { acknowledged, refused: Vec::new() }
    }

    /// Prints what would become of a resource, or that it would be refused, with all findings.
    pub(crate) fn tell(&mut self, name: &str, would: &str, findings: &[Finding]) -> Result<(), Failure> {
        if self.refuses(findings) {
            self.refuse(name, "would be refused")?;
        } else {
            output::data(format_args!("{name} {would}"))?;
        }
        output::notes(&findings_text(findings));
        Ok(())
    }

    /// Prints why there is nothing to be done to a resource, and counts it as refused.
    pub(crate) fn refuse(&mut self, name: &str, why: &str) -> Result<(), Failure> {
        self.refused.push(name.to_owned());
        output::data(format_args!("{name} {why}"))
    }

    /// Tells whether a write with these findings would be refused.
    pub(crate) fn refuses(&self, findings: &[Finding]) -> bool {
        findings.iter().any(|finding| match finding.severity() {
            Severity::Error => true,
            Severity::Warning => !self.acknowledged.contains(&finding.code),
            Severity::Info | Severity::Unspecified => false,
        })
    }

    /// Ends the preview.
    ///
    /// # Errors
    /// When anything would be refused.
    pub(crate) fn conclude(self) -> Result<(), Failure> {
        if self.refused.is_empty() {
            return Ok(());
        }
        Err(Failure::Findings(format!("refused: {}", self.refused.join(", "))))
    }
}

/// Takes the findings out of a refusal: what never could be valid is refused, also where only findings are wanted.
pub(crate) fn findings(answer: Result<Vec<Finding>, Failure>) -> Result<Vec<Finding>, Failure> {
    match answer {
        Err(Failure::Refused { status, .. }) => Ok(findings_of(&status)),
        Ok(_) | Err(_) => answer,
    }
}
