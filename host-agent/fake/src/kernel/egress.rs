//! What queues what leaves a device.

use trestle_model::{Egress, Feature, FeatureSet, HostQos, IfName, Shaping, TrafficClass};

use super::links::require;
use super::{Answer, Kernel};

impl Kernel {
    pub(super) fn shape_egress(&mut self, name: &IfName, rest: HostQos, features: &FeatureSet) -> Answer {
        require(features, Feature::EgressShaping)?;
        let link = self.link_mut(name)?;
        match &mut link.egress {
            Egress::Foreign(_) => return Err(format!("{name}: Exclusivity flag on, cannot modify")),
            Egress::Shaped(shaping) => drop(shaping.0.insert(TrafficClass::Rest, rest)),
            Egress::Kernels => link.egress = Egress::Shaped(Shaping([(TrafficClass::Rest, rest)].into())),
        }
        Ok(())
    }

    pub(super) fn unshape_egress(&mut self, name: &IfName) -> Answer {
        let link = self.link_mut(name)?;
        if let Egress::Shaped(_) = link.egress {
            link.egress = Egress::Kernels;
        }
        Ok(())
    }

    pub(super) fn set_traffic_class(&mut self, name: &IfName, class: TrafficClass, qos: HostQos) -> Answer {
        let shaping = self.shaping(name)?;
        let has = shaping.0.get(&class);
        // What is not told anew stays.
        let kept = HostQos {
            link_share: qos.link_share,
            upper_limit: qos.upper_limit.or_else(|| has?.upper_limit),
            committed_rate: qos.committed_rate.or_else(|| has?.committed_rate),
        };
        shaping.0.insert(class, kept);
        Ok(())
    }

    pub(super) fn remove_traffic_class(&mut self, name: &IfName, class: TrafficClass) -> Answer {
        self.shaping(name)?.0.remove(&class);
        Ok(())
    }

    fn shaping(&mut self, name: &IfName) -> Result<&mut Shaping, String> {
        match &mut self.link_mut(name)?.egress {
            Egress::Shaped(shaping) => Ok(shaping),
            Egress::Kernels | Egress::Foreign(_) => Err(format!("{name}: Failed to find specified qdisc")),
        }
    }
}
