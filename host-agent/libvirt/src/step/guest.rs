//! The performing of one step on a guest's interface.

use trestle_model::OwnFilter;
use trestle_plan::{DomainSide, GuestStep, InterfaceChange, InterfaceStep};
use virt::connect::Connect;
use virt::domain::Domain;
use virt::error::{Error, ErrorNumber};
use virt::nwfilter::NWFilter;
use virt_sys as sys;

use super::without_nul;
use crate::{Fault, xml};

/// Drops frames that a guest sends from another MAC than its own, and looks at nothing else.
///
/// *Source*: libvirt, "Network Filters": `$MAC` is the interface's own, and `match='no'` turns a rule around.
const NO_MAC_SPOOFING: &str = "<filter name='no-mac-spoofing' chain='mac' priority='-800'>\
    <rule action='drop' direction='out' priority='500'><mac match='no' srcmacaddr='$MAC'/></rule></filter>";

/// The same, but for the MACs that a parameter lists.
///
/// *Source*: as above, of variables: a rule is made for each value of a list.
const LISTED_MACS: &str = "<filter name='trestle-listed-macs' chain='mac' priority='-800'>\
    <rule action='return' direction='out' priority='500'><mac srcmacaddr='$MAC'/></rule>\
    <rule action='return' direction='out' priority='500'><mac srcmacaddr='$EXTRA_MAC'/></rule>\
    <rule action='drop' direction='out' priority='1000'><mac/></rule></filter>";

/// Performs `step`; one whose effect is there already succeeds.
pub(crate) fn perform(connect: &Connect, step: &GuestStep) -> Result<(), Fault> {
    match step {
        GuestStep::DefineFilter(filter) => define(connect, *filter),
        GuestStep::Interface(step) => change(connect, step),
    }
}

/// Defines each filter of ours that libvirt lacks; a libvirt without filters needs none.
pub(crate) fn define_all(connect: &Connect) -> Result<(), Fault> {
    match connect.list_nw_filters() {
        Ok(names) => {
            let lacks = |filter: &OwnFilter| !names.iter().any(|name| name == filter.name());
            OwnFilter::ALL.into_iter().filter(lacks).try_for_each(|filter| define(connect, filter))
        }
        Err(error) if error.code() == ErrorNumber::NoSupport => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn define(connect: &Connect, filter: OwnFilter) -> Result<(), Fault> {
    match NWFilter::lookup_by_name(connect, filter.name()) {
        Ok(_) => Ok(()),
        Err(error) if error.code() == ErrorNumber::NoNwfilter => {
            NWFilter::define_xml(connect, definition(filter))?;
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

const fn definition(filter: OwnFilter) -> &'static str {
    match filter {
        OwnFilter::NoMacSpoofing => NO_MAC_SPOOFING,
        OwnFilter::ListedMacs => LISTED_MACS,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_defined_as_they_are_judged() {
        for filter in OwnFilter::ALL {
            assert_eq!(xml::nwfilter::parse(definition(filter)).unwrap(), filter.definition());
        }
    }
}
