//! The performing of one step on a guest's interface.

use trestle_plan::{DomainSide, GuestStep, InterfaceChange, InterfaceStep};
use virt::connect::Connect;
use virt::domain::Domain;
use virt::error::{Error, ErrorNumber};
use virt::nwfilter::NWFilter;
use virt_sys as sys;

use super::without_nul;
use crate::{Fault, xml};

/// What drops frames that a guest sends from another MAC than its own, and looks at nothing else.
///
/// *Source*: libvirt, "Network Filters": `$MAC` is the interface's own, and `match='no'` turns a rule around.
const MAC_GUARD: &str = "<filter name='no-mac-spoofing' chain='mac' priority='-800'>\
    <rule action='drop' direction='out' priority='500'><mac match='no' srcmacaddr='$MAC'/></rule></filter>";

/// Performs `step`; one whose effect is there already succeeds.
pub(crate) fn perform(connect: &Connect, step: &GuestStep) -> Result<(), Fault> {
    match step {
        GuestStep::DefineMacGuard => define_mac_guard(connect),
        GuestStep::Interface(step) => change(connect, step),
    }
}

fn define_mac_guard(connect: &Connect) -> Result<(), Fault> {
    match NWFilter::lookup_by_name(connect, GuestStep::MAC_GUARD) {
        Ok(_) => Ok(()),
        Err(error) if error.code() == ErrorNumber::NoNwfilter => {
            NWFilter::define_xml(connect, MAC_GUARD)?;
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

fn change(connect: &Connect, step: &InterfaceStep) -> Result<(), Fault> {
    let domain = Domain::lookup_by_uuid(connect, step.domain)?;
    let flags = match step.side {
        DomainSide::Definition => sys::VIR_DOMAIN_AFFECT_CONFIG,
        DomainSide::Live => sys::VIR_DOMAIN_AFFECT_LIVE,
    };
    match &step.change {
        InterfaceChange::Attach(text) => {
            if !is_there(&domain, step)? {
                domain.attach_device_flags(without_nul(&xml::interface::write(step.mac, text)?)?, flags)?;
            }
        }
        InterfaceChange::Update(text) => {
            domain.update_device_flags(without_nul(&xml::interface::write(step.mac, text)?)?, flags)?;
        }
        InterfaceChange::Detach { xml } => {
            if is_there(&domain, step)? {
                match domain.detach_device_flags(without_nul(xml)?, flags) {
                    Err(error) if is_on_its_way(&error) => {}
                    outcome => drop(outcome?),
                }
            }
        }
    }
    Ok(())
}

/// Tells whether the domain has an interface of the step's MAC.
fn is_there(domain: &Domain, step: &InterfaceStep) -> Result<bool, Fault> {
    let flags = match step.side {
        DomainSide::Definition => sys::VIR_DOMAIN_XML_INACTIVE,
        DomainSide::Live => 0,
    };
    let facts = xml::domain::parse(&domain.get_xml_desc(flags)?)?;
    Ok(facts.interfaces.iter().any(|interface| interface.told.mac == step.mac))
}

/// Tells whether a guest was asked for the device before, and may still release it; there is no code of its own for that.
///
/// *Source*: `qmp_device_del` in QEMU's `softmmu/qdev-monitor.c`.
fn is_on_its_way(error: &Error) -> bool {
    error.message().contains("already in the process of unplug")
}
