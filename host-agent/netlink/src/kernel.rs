//! One connection to the kernel, and the two things it is for: observing and performing.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use rtnetlink::sys::protocols::NETLINK_ROUTE;
use trestle_model::{IfName, KernelState, LinkStatistics};
use trestle_plan::{KernelStep, ObserveError, StepFailure};

use crate::device::Devices;
use crate::nic_line::NicLine;
use crate::observation::{Carrier, Look, Table};
use crate::socket::Socket;
use crate::watch::Watch;
use crate::{observation, performance};

/// A connection to the kernel of this host, in the network namespace of the thread that made it.
///
/// The connection's task ends when the value is dropped.
#[derive(Debug)]
pub struct Kernel {
    socket: Socket,
    nics: NicLine,
}

/// Performs steps, and knows in between the devices that they have named.
#[derive(Debug)]
pub struct KernelPerformer<'a> {
    devices: Devices<'a>,
}

/// Says that the kernel gave no netlink socket.
#[derive(Debug, thiserror::Error)]
#[error("no netlink connection to the kernel")]
pub struct ConnectError(#[from] io::Error);

impl Kernel {
    /// Connects to the kernel.
    ///
    /// *Errors*: [`ConnectError`] where the kernel gives no socket. *Panics*: outside of a tokio runtime with I/O and time.
    pub fn connect() -> Result<Self, ConnectError> {
        Ok(Self { socket: Socket::open(NETLINK_ROUTE)?, nics: NicLine::open()? })
    }

    /// Reads one snapshot of links, addresses, routes and bridge forwarding entries.
    ///
    /// *Shape*: a device whose name Trestle cannot express (not printable ASCII) is left out, and with it its
    /// addresses, routes and entries; so is what belongs to a device that came or went while the tables were read.
    /// An MTU beyond the range of [`trestle_model::Mtu`] (the loopback's 65536) is reported as the nearest legal one.
    ///
    /// *Errors*: [`ObserveError::Kernel`]. *Cancel safety*: safe, reading has no effect.
    pub async fn observe(&self) -> Result<KernelState, ObserveError> {
        observation::observe(&self.socket, &self.nics).await
    }

    /// Reads the links, and of the other tables those that are asked for; what is not asked for is empty.
    ///
    /// *Shape*, *errors*, *cancel safety*: as [`Kernel::observe`].
    pub async fn look(&self, tables: &BTreeSet<Table>) -> Result<Look, ObserveError> {
        observation::look(&self.socket, &self.nics, tables).await
    }

    /// Reads the carriers of all devices, in one dump.
    ///
    /// *Shape*: a device whose name Trestle cannot express is left out.
    ///
    /// *Errors*: [`ObserveError::Kernel`]. *Cancel safety*: safe, reading has no effect.
    pub async fn carriers(&self) -> Result<BTreeMap<IfName, Carrier>, ObserveError> {
        observation::carriers(&self.socket).await
    }

    /// Reads the counters of the devices called `names`, or of all devices, in one dump.
    ///
    /// *Shape*: ordered by name; a name that no device has is left out, and so is a device whose name Trestle cannot
    /// express.
    ///
    /// *Errors*: [`ObserveError::Kernel`]. *Cancel safety*: safe, reading has no effect.
    pub async fn statistics(&self, names: Option<&BTreeSet<IfName>>) -> Result<Vec<LinkStatistics>, ObserveError> {
        observation::statistics(&self.socket, names).await
    }

    /// Performs `steps` in order and stops at the first that fails; each is idempotent.
    ///
    /// *Errors*: [`StepFailure`], with the position in `steps`; those before it are done, those after it are not.
    /// *Cancel safety*: none; a step that was sent is made even if nobody waits for it.
    pub async fn perform(&self, steps: &[&KernelStep]) -> Result<(), StepFailure> {
        let mut performer = self.performer();
        for (position, step) in steps.iter().enumerate() {
            performer.perform(step).await.map_err(|failure| StepFailure { position, ..failure })?;
        }
        Ok(())
    }

    /// Begins to perform steps one after another.
    pub fn performer(&self) -> KernelPerformer<'_> {
        KernelPerformer { devices: Devices::new(&self.socket, &self.nics) }
    }

    /// Opens a watch of its own socket, which tells of every change from now on, also of those made through this value.
    ///
    /// *Errors*: [`ConnectError`] where the kernel gives no socket.
    pub fn watch(&self) -> Result<Watch, ConnectError> {
        Ok(Watch::open()?)
    }

    /// As [`Kernel::watch`], and of changes of NICs' settings too, where the kernel tells of them (5.6).
    ///
    /// *Errors*: [`ConnectError`] where the kernel gives no socket. *Cancel safety*: safe.
    pub async fn watch_with_nics(&self) -> Result<Watch, ConnectError> {
        let watch = Watch::open()?;
        let group = self.nics.monitor().await.map_err(|failure| io::Error::other(failure.to_string()))?;
        Ok(match group {
            Some(group) => watch.with_nics(group)?,
            None => watch,
        })
    }
}

impl KernelPerformer<'_> {
    /// Performs one step, which is idempotent.
    ///
    /// Where it fails by what was known of devices, which others may have removed or made anew since, it is performed
    /// once more without that.
    ///
    /// *Errors*: [`StepFailure`], at position 0. *Cancel safety*: none; a step that was sent is made even if nobody
    /// waits for it.
    pub async fn perform(&mut self, step: &KernelStep) -> Result<(), StepFailure> {
        let devices = &mut self.devices;
        let knew = devices.knows_any();
        let mut outcome = performance::perform(devices, step).await;
        if outcome.is_err() {
            devices.forget_all();
            if knew {
                outcome = performance::perform(devices, step).await;
            }
        }
        outcome.map_err(|failure| StepFailure {
            position: 0,
            reason: format!("{step}: {failure}"),
            transient: failure.is_transient(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn can_be_shared_between_tasks() {
        fn shared<T: Send + Sync + 'static>() {}
        fn sent<T: Send + 'static>() {}
        shared::<Kernel>();
        sent::<Watch>();
    }
}
