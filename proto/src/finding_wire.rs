//! Findings on the wire and back.
//!
//! Reading never fails: what a newer peer says with words that are not known here is kept as text.

use trestle_model::{Code, Finding, Findings, Severity};

use crate::finding::v1 as wire;

/// Builds the wire's form of a finding.
pub fn build(finding: &Finding) -> wire::Finding {
    let severity = match finding.severity {
        Severity::Info => wire::Severity::Info,
        Severity::Warning => wire::Severity::Warning,
        Severity::Error => wire::Severity::Error,
    };
    wire::Finding {
        code: finding.code.as_str().to_owned(),
        severity: severity.into(),
        field: finding.field.clone(),
        subject: finding.subject.clone(),
        related: finding.related.clone(),
        message: finding.message.clone(),
        remedy: finding.remedy.clone(),
        ovirt_code: finding.code.ovirt(),
    }
}

/// Builds the wire's form of findings, in their order.
pub fn build_all(findings: &[Finding]) -> Vec<wire::Finding> {
    findings.iter().map(build).collect()
}

/// Reads a finding.
///
/// A code that is not known becomes [`Code::CodeUnknown`] with the code's text before the message; a severity that is
/// not known becomes an error.
pub fn parse(finding: &wire::Finding) -> Finding {
    let severity = match finding.severity() {
        wire::Severity::Info => Severity::Info,
        wire::Severity::Warning => Severity::Warning,
        wire::Severity::Error | wire::Severity::Unspecified => Severity::Error,
    };
    let (code, message) = match Code::parse(&finding.code) {
        Some(code) => (code, finding.message.clone()),
        None => (Code::CodeUnknown, format!("{}: {}", finding.code, finding.message)),
    };
    Finding {
        code,
        severity,
        field: finding.field.clone(),
        subject: finding.subject.clone(),
        related: finding.related.clone(),
        message,
        remedy: finding.remedy.clone(),
    }
}

/// Reads findings, in their order.
pub fn parse_all(findings: &[wire::Finding]) -> Findings {
    Findings(findings.iter().map(parse).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_and_severity_reads_back() {
        for code in Code::ALL {
            for severity in [Severity::Info, Severity::Warning, Severity::Error] {
                let mut finding = Finding::error(*code, "networks[0].mtu", "message")
                    .about("blue")
                    .related(["b".to_owned(), "a".to_owned()])
                    .remedy("remedy");
                finding.severity = severity;
                let sent = build(&finding);
                assert_eq!(parse(&sent), finding);
                assert_eq!(sent.ovirt_code, code.ovirt());
            }
        }
    }

    #[test]
    fn a_finding_of_a_newer_peer_keeps_its_code_as_text() {
        let newer = wire::Finding {
            code: "MOON_PHASE".to_owned(),
            severity: 77,
            message: "full".to_owned(),
            ..wire::Finding::default()
        };
        let finding = parse(&newer);
        assert_eq!((finding.code, finding.severity), (Code::CodeUnknown, Severity::Error));
        assert_eq!(finding.message, "MOON_PHASE: full");
    }
}
