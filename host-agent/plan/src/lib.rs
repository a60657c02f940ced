//! Decides, and never acts: from what a host is to be and what it is, the steps between.
//!
//! One difference engine serves every direction. A request is composed into a [`target::Target`] in the vocabulary of
//! the host itself; the steps from an observation to a target are its plan; the same difference is what
//! verification reports as drift; and an undo is the plan from a fresh observation towards the journalled snapshot.
//!
//! This crate never does I/O, waits, or reads a clock. The host's two halves implement [`Host`] elsewhere.

#[cfg(feature = "testing")]
pub mod contract;
pub mod ownership;
#[cfg(feature = "testing")]
pub mod sample;
pub mod target;
pub mod transaction;
pub mod undo;

mod advertised;
mod census;
mod composition;
mod dhcp;
mod difference;
mod drift;
mod host;
mod keeping;
mod planning;
mod plugging;
mod report;
mod restoration;
mod scope;
mod sightings;
mod step;
mod steps;
mod validation;

pub use advertised::{NamesMeant, Steering, attended, names_meant, steering};
pub use composition::compose;
pub use dhcp::{LEASE_PROTOCOL, LeaseMeaning, meaning, missing_leases, resumption};
pub use drift::{Drift, verify};
pub use host::{Host, ObserveError, Performer, StepFailure};
pub use keeping::{Loss, Subject, Thing, losses, repair_plan};
pub use planning::{Named, Plan, merge, plan, plan_back};
pub use plugging::{PlugPlan, PlugSituation, PlugStep, not_back, plug_back, plug_plan};
pub use report::{bond_reports, bridge_reports, network_reports, nic_reports, vlan_reports};
pub use restoration::{Restoration, restore_plan};
pub use scope::{spell_out, uncommitted, uncommitted_bonds, uncommitted_nics};
pub use sightings::{Sighting, sightings};
pub use step::{
    AutoconfChange, BondTuning, BridgeChange, DhcpStep, DomainSide, GuestStep, Guests, InterfaceChange,
    InterfaceDefinition, InterfaceStep, InterfaceText, KernelStep, LibvirtStep, NetworkDefinition, PlannedStep,
    PortChange, Primary, ResolverStep, Step,
};
pub use steps::steps_towards;
pub use target::Target;
pub use undo::{Snapshot, undo_target};
pub use validation::validate;
