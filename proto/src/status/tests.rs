use std::time::Duration;

use prost::Message as _;
use tonic::{Code as Status, Status as GrpcStatus};
use tonic_types::{ErrorDetails, StatusExt as _};
use trestle_model::{Code, Finding, Findings};

use super::*;

fn finding(code: Code) -> Finding {
    Finding::error(code, "networks[0].mtu", "message")
        .about("networks/blue")
        .remedy("remedy")
        .related(["networks/b".to_owned(), "networks/a".to_owned()])
}

fn errors(codes: &[Code]) -> Findings {
    Findings(codes.iter().map(|code| finding(*code)).collect())
}

#[test]
fn every_code_comes_through_a_status_with_its_details() {
    for code in Code::ALL {
        let refusal = Refusal::from(finding(*code));
        let status = GrpcStatus::from(&refusal);
        assert_eq!(status.code(), canonical(*code));
        assert_ne!(status.code(), Status::Ok);
        assert_ne!(status.code(), Status::Internal);
        assert_eq!(Refusal::from_status(&status), refusal);
        assert_eq!(reason_of(&status).as_deref(), Some(code.as_str()));

        let details = status.check_error_details().unwrap();
        let info = details.error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.domain.as_str()), (code.as_str(), "trestle.dev"));
        assert_eq!(info.metadata.get("ovirt_code").cloned(), code.ovirt().map(|ovirt| ovirt.to_string()));
        check_details(status.code(), *code, &details);
    }
}

fn check_details(status: Status, code: Code, details: &ErrorDetails) {
    let described = "message; remedy; related: networks/a, networks/b";
    if status == Status::InvalidArgument {
        let violation = &details.bad_request().unwrap().field_violations[0];
        assert_eq!((violation.field.as_str(), violation.description.as_str()), ("networks[0].mtu", described));
    }
    if status == Status::FailedPrecondition {
        let violation = &details.precondition_failure().unwrap().violations[0];
        assert_eq!((violation.r#type.as_str(), violation.subject.as_str()), (code.as_str(), "networks/blue"));
        assert_eq!(violation.description, described);
    }
    if matches!(status, Status::NotFound | Status::AlreadyExists) {
        let resource = details.resource_info().unwrap();
        assert_eq!(resource.resource_type, "trestle.engine.v1.Network");
        assert_eq!(resource.resource_name, "networks/blue");
    }
    let delay = details.retry_info().and_then(|info| info.retry_delay);
    assert_eq!(delay, (code == Code::Busy).then_some(Refusal::BUSY_DELAY));
}

#[test]
fn every_code_has_its_canonical_code_by_meaning() {
    for (code, expected) in [
        (Code::MtuOutOfRange, Status::InvalidArgument),
        (Code::FieldMaskInvalid, Status::InvalidArgument),
        (Code::NicNotFound, Status::FailedPrecondition),
        (Code::MacSpoofConflict, Status::FailedPrecondition),
        (Code::EtagMismatch, Status::Aborted),
        (Code::StaleGeneration, Status::Aborted),
        (Code::NotFound, Status::NotFound),
        (Code::AlreadyExists, Status::AlreadyExists),
        (Code::Busy, Status::Unavailable),
        (Code::HostUnobservable, Status::Unavailable),
        (Code::StoreFailed, Status::Unavailable),
        (Code::PermissionDenied, Status::PermissionDenied),
    ] {
        assert_eq!(canonical(code), expected, "{code}");
    }
}

#[test]
fn a_code_of_form_is_an_unmet_condition_where_the_host_decides() {
    let findings = errors(&[Code::MtuOutOfRange]);
    assert_eq!(Refusal::malformed(findings.clone()).code, Status::InvalidArgument);
    assert_eq!(Refusal::from(findings.clone()).code, Status::InvalidArgument);
    assert_eq!(Refusal::refused(findings).code, Status::FailedPrecondition);
}

#[test]
fn of_several_findings_the_one_that_says_most_decides() {
    for (codes, expected) in [
        ([Code::MtuOutOfRange, Code::NicNotFound], Status::FailedPrecondition),
        ([Code::NicNotFound, Code::EtagMismatch], Status::Aborted),
        ([Code::EtagMismatch, Code::NotFound], Status::NotFound),
        ([Code::NotFound, Code::PermissionDenied], Status::PermissionDenied),
    ] {
        let refusal = Refusal::from(errors(&codes));
        assert_eq!(refusal.code, expected);
        assert_eq!(refusal.worst().unwrap().code, codes[usize::from(canonical(codes[1]) == expected)]);
    }
}

#[test]
fn a_warning_refuses_as_an_unmet_condition_and_an_error_gives_the_reason() {
    let warning = Finding::warning(Code::NoEffectNotBridged, "networks[0]", "no effect");
    let refusal = Refusal::from(Findings(vec![warning.clone()]));
    assert_eq!(refusal.code, Status::FailedPrecondition);
    let refusal = Refusal::from(Findings(vec![warning, finding(Code::NicNotFound)]));
    assert_eq!(refusal.worst().unwrap().code, Code::NicNotFound);
    assert_eq!(refusal.to_string(), "NIC_NOT_FOUND: networks/blue: message; remedy (and 1 more)");
    assert_eq!(GrpcStatus::from(&refusal).get_error_details().precondition_failure().unwrap().violations.len(), 2);
}

#[test]
fn a_delay_comes_through() {
    let refusal = Refusal::from(finding(Code::HostUnobservable)).retry_after(Duration::from_millis(2500));
    assert_eq!(retry_delay_of(&GrpcStatus::from(refusal)), Some(Duration::from_millis(2500)));
    assert_eq!(retry_delay_of(&GrpcStatus::internal("no")), None);
}

#[test]
fn a_status_without_typed_findings_is_read_from_what_it_has() {
    let mut details = ErrorDetails::new();
    details
        .set_error_info("QUOTA", "example.org", std::collections::HashMap::new())
        .add_bad_request_violation("networks[0].name", "is bad")
        .add_precondition_failure_violation("TYPE", "subject", "is unmet");
    let read = findings_of(&GrpcStatus::with_error_details(Status::InvalidArgument, "no", details));
    let lines: Vec<_> = read.iter().map(|f| (f.code.as_str(), f.subject.as_str(), f.field.as_str())).collect();
    assert_eq!(lines, [("TYPE", "subject", ""), ("QUOTA", "", "networks[0].name")]);

    let plain = findings_of(&GrpcStatus::unavailable("connection refused"));
    assert_eq!((plain[0].code.as_str(), plain[0].message.as_str()), ("Unavailable", "connection refused"));
    let garbage = GrpcStatus::with_details(Status::Unknown, "odd", vec![0xff_u8; 20].into());
    assert_eq!(findings_of(&garbage)[0].message, "odd");
}

#[test]
fn a_refusal_with_very_many_findings_still_fits_into_the_headers() {
    let findings = Findings(
        (0..20_000)
            .map(|n| Finding::error(Code::VlanOutOfRange, format!("networks[{n}].vlan_id"), "x".repeat(100)))
            .collect(),
    );
    let status = GrpcStatus::from(Refusal::malformed(findings));
    // gRPC's C core begins to refuse at 8 KiB.
    let encoded = status.details().len().div_ceil(3) * 4 + status.message().len();
    assert!(encoded < 8 * 1024, "{encoded} bytes");
    let details = status.get_error_details();
    let shown = details.bad_request().unwrap().field_violations.len();
    assert!(shown >= 8, "{shown} shown");
    let metadata = &details.error_info().unwrap().metadata;
    assert_eq!((metadata["findings"].as_str(), metadata["findings_shown"].clone()), ("20000", shown.to_string()));

    let huge = Finding::error(Code::InUse, "", "m".repeat(1_000_000));
    let status = GrpcStatus::from(Refusal::from(huge));
    assert!(status.details().len() < 8 * 1024);
    assert_eq!(reason_of(&status).as_deref(), Some("IN_USE"));
}

#[test]
fn a_refusal_comes_through_a_session() {
    let refusal = Refusal::refused(errors(&[Code::NicInUse, Code::MtuOutOfRange]));
    assert_eq!(Refusal::parse_session(&refusal.build_session()), refusal);
    let bare = crate::session::v1::Refusal { code: 4, message: "too late".to_owned(), findings: Vec::new() };
    let read = Refusal::parse_session(&bare);
    assert_eq!((read.code, read.findings.0.len()), (Status::DeadlineExceeded, 1));
}

#[test]
fn details_are_a_status_of_google_rpc() {
    let status = GrpcStatus::from(Refusal::from(finding(Code::Busy)));
    let rich = tonic_types::pb::Status::decode(status.details()).unwrap();
    assert_eq!(rich.code, i32::from(Status::Unavailable));
    assert_eq!(rich.message, status.message());
}
