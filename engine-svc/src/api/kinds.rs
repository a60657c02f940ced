//! The kinds of resources, where calls are about all of them.

use trestle_model::fleet::{Entity, EntityId, Fleet};
use trestle_proto::engine::v1 as wire;
use trestle_proto::engine_wire::Resource;

use super::{Collection, rest};

/// Spells out every kind once, in the order in which resources refer to one another.
macro_rules! kinds {
    ($($kind:ident)+) => {
        /// A kind of resource.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) enum Kind {
            $(#[doc = concat!("`", stringify!($kind), "`")] $kind,)+
        }

        impl Kind {
            /// Every kind: each before those that refer to it.
            pub(super) const ALL: &'static [Self] = &[$(Self::$kind,)+];

            /// Returns the kind of the resource with this key.
            pub(super) const fn of(id: &EntityId) -> Self {
                match id {
                    $(EntityId::$kind(..) => Self::$kind,)+
                }
            }

            /// Returns the segment before the last one of a name.
            pub(super) fn collection(self) -> &'static str {
                let pattern = match self {
                    $(Self::$kind => <wire::$kind as Resource>::PATTERN,)+
                };
                pattern.rsplit('/').nth(1).unwrap_or_default()
            }

            /// Returns the first resources of the kind beyond `after`, those below `parent` where there is one.
            pub(super) fn page(
                self,
                fleet: &Fleet,
                parent: Option<&EntityId>,
                after: Option<&EntityId>,
                most: usize,
            ) -> Vec<Entity> {
                match self {
                    $(Self::$kind => page::<wire::$kind>(fleet, parent, after, most),)+
                }
            }
        }
    };
}

kinds! { MacPool Cluster Network ClusterNetwork VnicProfile Host Bond NetworkAttachment Vm Vnic }

fn page<R: Collection>(fleet: &Fleet, parent: Option<&EntityId>, after: Option<&EntityId>, most: usize) -> Vec<Entity> {
    let after = after.and_then(|after| R::id_of(after.clone()));
    rest::<R>(fleet, parent, after.as_ref()).take(most).cloned().map(R::entity).collect()
}
