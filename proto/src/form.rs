//! What a message is read with: one typed word at a time, and every violation noted.
//!
//! A reader goes on after a violation, so that a caller learns of all of them at once; what it returns then is thrown
//! away by [`Form::finish`].

use trestle_model::{BadName, Code, Finding, Findings, MacAddr, Mtu, VlanId};

/// The violations that were found so far.
#[derive(Debug, Default)]
pub struct Form {
    findings: Vec<Finding>,
}

impl Form {
    /// Notes a violation.
    pub(crate) fn note(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// Notes the violations of another form.
    pub(crate) fn note_all(&mut self, findings: Findings) {
        self.findings.extend(findings.0);
    }

    /// Returns what was read, or all violations.
    pub(crate) fn finish<T>(self, value: Option<T>) -> Result<T, Findings> {
        match value {
            Some(value) if self.findings.is_empty() => Ok(value),
            _ => Err(Findings(self.findings).sorted()),
        }
    }

    /// Notes that a required field is missing.
    pub(crate) fn missing(&mut self, path: impl Into<String>, remedy: &str) {
        let path = path.into();
        let message = format!("{path} is missing");
        self.note(Finding::error(Code::FieldMissing, path, message).remedy(remedy));
    }

    /// Reads a required name; an illegal one is noted as `code`.
    pub(crate) fn name<T>(
        &mut self,
        path: &str,
        text: &str,
        code: Code,
        parse: impl FnOnce(&str) -> Result<T, BadName>,
    ) -> Option<T> {
        if text.is_empty() {
            self.missing(path, "give a name");
            return None;
        }
        match parse(text) {
            Ok(name) => Some(name),
            Err(bad) => {
                let finding = Finding::error(code, path, format!("name {} {bad}", quoted(text)));
                self.note(finding.remedy(name_remedy(&bad)));
                None
            }
        }
    }

    /// Reads a VLAN; absent is untagged.
    pub(crate) fn vlan(&mut self, path: &str, id: Option<u32>) -> Option<VlanId> {
        VlanId::try_from(id?)
            .map_err(|bad| {
                let finding = Finding::error(Code::VlanOutOfRange, path, format!("VLAN {bad}"));
                self.note(finding.remedy("give a VLAN of 0 to 4094, or leave it out for an untagged network"));
            })
            .ok()
    }

    /// Reads an MTU; absent is 1500.
    pub(crate) fn mtu(&mut self, path: &str, mtu: Option<u32>) -> Mtu {
        let Some(bytes) = mtu else { return Mtu::ETHERNET };
        Mtu::try_from(bytes).unwrap_or_else(|bad| {
            let finding = Finding::error(Code::MtuOutOfRange, path, format!("MTU {bad}"));
            self.note(finding.remedy("give an MTU of 68 to 65535 bytes, or leave it out for 1500"));
            Mtu::ETHERNET
        })
    }

    /// Reads the MAC of a single station.
    pub(crate) fn mac(&mut self, path: &str, text: &str) -> Option<MacAddr> {
        let read = text.parse::<MacAddr>().map_err(|bad| bad.to_string()).and_then(|mac| {
            let is_station = !mac.is_multicast() && !mac.is_zero();
            if is_station { Ok(mac) } else { Err(format!("{mac} is no address of a single station")) }
        });
        read.map_err(|message| {
            let finding = Finding::error(Code::MacInvalid, path, message);
            self.note(finding.remedy("give an address such as 52:54:00:12:34:56"));
        })
        .ok()
    }

    /// Reads an enum field; a number without a meaning is noted.
    pub(crate) fn known<E: TryFrom<i32>>(&mut self, path: &str, number: i32) -> Option<E> {
        E::try_from(number)
            .map_err(|_| {
                let finding = Finding::error(Code::EnumUnknown, path, format!("{number} is no known value"));
                self.note(finding.remedy("give one of the values in the API reference"));
            })
            .ok()
    }
}

/// Quotes a caller's text for a message; what is longer than a line is cut.
pub(crate) fn quoted(text: &str) -> String {
    const LIMIT: usize = 64;
    match text.char_indices().nth(LIMIT) {
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}

fn name_remedy(bad: &BadName) -> &'static str {
    match bad {
        BadName::Empty => "give a name",
        BadName::TooLong { .. } => "shorten it",
        BadName::Character(_) => "leave the character out",
        BadName::Reserved(_) => "choose another name",
        BadName::NotUuid => "give a UUID, such as 0190f3a2-7c11-7cc0-a3b7-6a1c0c5d9e4f",
    }
}
