//! What a managed bridge's uplink receives.

use trestle_model::{Code, Finding, PromiscuityCause, UplinkReport};

use super::parse::{read_all, read_required};
use crate::form::Form;
use crate::host::v1 as wire;
use crate::host::v1::PromiscuityCauseKind as Kind;

pub(super) fn build(uplink: &UplinkReport) -> wire::UplinkReport {
    wire::UplinkReport {
        device: uplink.device.to_string(),
        promiscuity: uplink.promiscuity,
        causes: uplink.causes.iter().map(build_cause).collect(),
        unicast_addresses: uplink.unicast_addresses,
    }
}

pub(super) fn read(form: &mut Form, path: &str, uplink: &wire::UplinkReport) -> Option<UplinkReport> {
    let device = read_required(form, &format!("{path}.device"), &uplink.device, Code::NameInvalid);
    let causes = read_all(form, &format!("{path}.causes"), &uplink.causes, read_cause);
    Some(UplinkReport {
        device: device?,
        promiscuity: uplink.promiscuity,
        causes,
        unicast_addresses: uplink.unicast_addresses,
    })
}

fn build_cause(cause: &PromiscuityCause) -> wire::PromiscuityCause {
    let (kind, port) = match cause {
        PromiscuityCause::NotFiltering => (Kind::NotFiltering, String::new()),
        PromiscuityCause::Bridge => (Kind::Bridge, String::new()),
        PromiscuityCause::Port(port) => (Kind::Port, port.to_string()),
        PromiscuityCause::Device => (Kind::Device, String::new()),
    };
    wire::PromiscuityCause { kind: kind.into(), port }
}

fn read_cause(form: &mut Form, path: &str, cause: &wire::PromiscuityCause) -> Option<PromiscuityCause> {
    Some(match form.known(&format!("{path}.kind"), cause.kind)? {
        Kind::NotFiltering => PromiscuityCause::NotFiltering,
        Kind::Bridge => PromiscuityCause::Bridge,
        Kind::Port => {
            PromiscuityCause::Port(read_required(form, &format!("{path}.port"), &cause.port, Code::NameInvalid)?)
        }
        Kind::Device => PromiscuityCause::Device,
        Kind::Unspecified => {
            form.note(Finding::error(Code::EnumUnknown, format!("{path}.kind"), "the cause is not said"));
            return None;
        }
    })
}
