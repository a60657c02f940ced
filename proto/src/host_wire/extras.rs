//! What of a network is kept for others: name servers and search domains for the host's programs, custom values for hooks.

use std::collections::BTreeMap;

use trestle_model::{Code, Finding, NameServer, SearchDomain};

use crate::form::{Form, quoted};

/// The most custom values of a network.
const VALUES: usize = 64;
/// The longest key of a custom value, in bytes.
const KEY: usize = 64;
/// The longest custom value, in bytes.
const VALUE: usize = 1024;

/// Reads name servers, and notes every violation under its own path.
pub(crate) fn read_nameservers(form: &mut Form, path: &str, given: &[String]) -> Vec<NameServer> {
    let mut read: Vec<NameServer> = Vec::new();
    for (position, text) in given.iter().enumerate() {
        let path = format!("{path}[{position}]");
        match text.parse::<NameServer>() {
            Ok(server) if read.contains(&server) => {
                let finding = Finding::error(Code::Duplicate, path, format!("name server {server} is given twice"));
                form.note(finding.remedy("give each name server once"));
            }
            Ok(server) => read.push(server),
            Err(bad) => {
                let finding = Finding::error(Code::BadAddress, path, format!("name server {} {bad}", quoted(text)));
                form.note(finding.remedy("write it as 192.0.2.53, 2001:db8::53 or fe80::53%DEVICE"));
            }
        }
    }
    if given.len() > NameServer::LIMIT {
        let message =
            format!("{} name servers are given, and programs look at {} only", given.len(), NameServer::LIMIT);
        form.note(Finding::error(Code::TooLong, path, message).remedy("leave the last ones out"));
    }
    read
}

/// Reads search domains, and notes every violation under its own path.
pub(crate) fn read_search_domains(form: &mut Form, path: &str, given: &[String]) -> Vec<SearchDomain> {
    let mut read: Vec<SearchDomain> = Vec::new();
    for (position, text) in given.iter().enumerate() {
        let path = format!("{path}[{position}]");
        match text.parse::<SearchDomain>() {
            Ok(domain) if read.contains(&domain) => {
                let finding = Finding::error(Code::Duplicate, path, format!("search domain {domain} is given twice"));
                form.note(finding.remedy("give each search domain once"));
            }
            Ok(domain) => read.push(domain),
            Err(bad) => {
                let finding = Finding::error(Code::NameInvalid, path, format!("search domain {} {bad}", quoted(text)));
                form.note(finding.remedy("write it as lab.example"));
            }
        }
    }
    if given.len() > SearchDomain::LIMIT {
        let message =
            format!("{} search domains are given, and programs look at {} only", given.len(), SearchDomain::LIMIT);
        form.note(Finding::error(Code::TooLong, path, message).remedy("leave the last ones out"));
    }
    read
}

/// Reads custom values, and notes what is too many, too long or unnamed.
pub(crate) fn read_custom<'a>(
    form: &mut Form,
    path: &str,
    given: impl ExactSizeIterator<Item = (&'a String, &'a String)>,
) -> BTreeMap<String, String> {
    if given.len() > VALUES {
        let message = format!("{} custom values are more than {VALUES}", given.len());
        form.note(Finding::error(Code::TooLong, path, message).remedy("leave some out"));
    }
    let read: BTreeMap<String, String> = given.map(|(key, value)| (key.clone(), value.clone())).collect();
    for (key, value) in &read {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if key.is_empty() || key.len() > KEY || !key.chars().all(legal) {
            let message = format!("{} is no key of a custom value", quoted(key));
            let finding = Finding::error(Code::NameInvalid, path, message);
            form.note(finding.remedy(format!("give 1 to {KEY} letters, digits, '_', '-' and '.'")));
        } else if value.len() > VALUE {
            let message = format!("the value has {} bytes, more than {VALUE}", value.len());
            form.note(Finding::error(Code::TooLong, format!("{path}.{key}"), message).remedy("shorten it"));
        }
    }
    read
}
