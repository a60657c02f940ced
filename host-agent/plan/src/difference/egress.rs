//! The comparison of what queues what leaves a device.

use trestle_model::{Egress, HostQos, TrafficClass};

use crate::target::EgressTarget;

/// What has to be done about a device's classes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EgressChange {
    /// Nothing.
    None,
    /// All of them have to go.
    Unshape,
    /// There are none yet; these have to come, that of the rest first.
    Shape(HostQos, Vec<(TrafficClass, HostQos)>),
    /// Some have to go, then some to come or change.
    Classes(Vec<TrafficClass>, Vec<(TrafficClass, HostQos)>),
    /// Somebody else's queueing is in the way, and stays.
    Obstructed,
}

/// Returns how a device's queueing has to change.
pub(crate) fn egress_change(target: &EgressTarget, is: &Egress) -> EgressChange {
    let wanted = match (target, is) {
        (EgressTarget::Unshaped, Egress::Shaped(_)) => return EgressChange::Unshape,
        (EgressTarget::Leave, _) | (EgressTarget::Unshaped, Egress::Kernels | Egress::Foreign(_)) => {
            return EgressChange::None;
        }
        (EgressTarget::Shaped(wanted), _) => &wanted.0,
    };
    let pairs = |(class, qos): (&TrafficClass, &HostQos)| (*class, *qos);
    match (is, wanted.get(&TrafficClass::Rest)) {
        (Egress::Foreign(_), _) => EgressChange::Obstructed,
        (Egress::Kernels, None) => EgressChange::None,
        (Egress::Kernels, Some(rest)) => {
            let others = wanted.iter().filter(|(class, _)| **class != TrafficClass::Rest);
            EgressChange::Shape(*rest, others.map(pairs).collect())
        }
        (Egress::Shaped(has), _) => {
            let stays = |class: &TrafficClass, has: &HostQos| wanted.get(class).is_some_and(|qos| has.can_become(qos));
            let remove: Vec<TrafficClass> =
                has.0.iter().filter(|(class, has)| !stays(class, has)).map(|(class, _)| *class).collect();
            let set: Vec<_> = wanted.iter().filter(|(class, qos)| has.0.get(class) != Some(qos)).map(pairs).collect();
            if remove.is_empty() && set.is_empty() { EgressChange::None } else { EgressChange::Classes(remove, set) }
        }
    }
}
