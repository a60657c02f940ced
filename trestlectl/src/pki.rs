//! `pki`: makes the certificates of an installation.
//!
//! One private authority, named by the trust domain; each party is named by its SPIFFE id. Keys are made here, readable
//! by their owner only, and never leave the folder by this program.
//!
//! Source: the X509-SVID standard of SPIFFE.

mod authority;
mod files;

#[cfg(test)]
mod tests;

use jiff::Timestamp;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, SanType};
use trestle_serve::{Party, SpiffeId};

use crate::arguments::{Holder, Issue, PkiCommand, PkiInit};
use crate::failure::Failure;
use crate::output;

use authority::Authority;
use files::Pair;

/// Runs a `pki` command at the time `now`.
///
/// # Errors
/// When a name is not legal, a file is there already or cannot be read or written, or the authority is not valid for as
/// long as the certificate is to be.
pub(crate) fn run(command: PkiCommand, now: Timestamp) -> Result<(), Failure> {
    match command {
        PkiCommand::Init(init) => make_authority(&init, now),
        PkiCommand::Issue(issue) => match issue.holder {
            Holder::Engine(issue) => make_leaf(&issue, Party::Engine, now),
            Holder::Host { name, issue } => make_leaf(&issue, Party::Host(name), now),
            Holder::User { name, issue } => make_leaf(&issue, Party::User(name), now),
        },
    }
}

fn make_authority(init: &PkiInit, now: Timestamp) -> Result<(), Failure> {
    checked(&SpiffeId { trust_domain: init.trust_domain.clone(), party: Party::Engine })?;
    let (key, certificate) = authority::make(&init.trust_domain, init.days, now)?;
    let pair = Pair::new(&init.dir, "ca");
    pair.write(&certificate, &key.serialize_pem(), init.force)?;
    output::data(pair.certificate.display())?;
    output::data(pair.key.display())
}

fn make_leaf(issue: &Issue, party: Party, now: Timestamp) -> Result<(), Failure> {
    let authority = Authority::load(&Pair::new(&issue.dir, "ca"))?;
    let name = match &party {
        Party::Engine => "engine".to_owned(),
        Party::Host(name) | Party::User(name) => name.clone(),
    };
    if name == "ca" {
        return Err(Failure::Usage("the name ca is the authority's".to_owned()));
    }
    let id = SpiffeId { trust_domain: authority.trust_domain().to_owned(), party };
    checked(&id)?;
    let key = KeyPair::generate().map_err(|error| failed("key cannot be made", error))?;
    let params = params(&id, issue, authority.validity(issue.days, now)?)?;
    let certificate = authority.sign(&params, &key)?;
    let out = issue.out.as_ref().unwrap_or(&issue.dir);
    let pair = Pair::new(out, &name);
    pair.write(&certificate, &key.serialize_pem(), issue.force)?;
    files::copy_authority(&issue.dir, out, issue.force)?;
    output::data(pair.certificate.display())?;
    output::data(pair.key.display())?;
    output::note(format_args!("{id}, valid for {} days", issue.days));
    Ok(())
}

fn params(id: &SpiffeId, issue: &Issue, validity: authority::Validity) -> Result<CertificateParams, Failure> {
    let mut params = CertificateParams::default();
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, id.party.to_string());
    params.subject_alt_names.push(SanType::URI(ia5(&id.to_string())?));
    for name in &issue.dns {
        params.subject_alt_names.push(SanType::DnsName(ia5(name)?));
    }
    params.subject_alt_names.extend(issue.ip.iter().copied().map(SanType::IpAddress));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = match id.party {
        Party::Engine | Party::Host(_) => {
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth]
        }
        Party::User(_) => vec![ExtendedKeyUsagePurpose::ClientAuth],
    };
    params.use_authority_key_identifier_extension = true;
    validity.put(&mut params);
    Ok(params)
}

/// A name is legal when it reads back as what it was made of.
fn checked(id: &SpiffeId) -> Result<(), Failure> {
    match id.to_string().parse::<SpiffeId>() {
        Ok(parsed) if parsed == *id => Ok(()),
        Ok(_) | Err(_) => Err(Failure::Usage(format!(
            "{id} is no legal id: names have letters, digits, '.', '-' and '_', the trust domain lower-case ones"
        ))),
    }
}

fn ia5(text: &str) -> Result<rcgen::string::Ia5String, Failure> {
    text.try_into().map_err(|error| failed("name cannot be in a certificate", error))
}

fn failed(what: &str, error: rcgen::Error) -> Failure {
    Failure::File(what.to_owned(), error.into())
}
