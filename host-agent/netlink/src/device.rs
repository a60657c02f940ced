//! Devices by name, looked up once for a list of steps.

use std::collections::BTreeMap;

use nix::errno::Errno;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::{InfoData, InfoKind, InfoVlan, LinkAttribute, LinkInfo, LinkMessage};
use trestle_model::{IfName, MacAddr};

use crate::failure::Failure;
use crate::nic_line::NicLine;
use crate::observation::pick;
use crate::socket::Socket;

/// What a step must know of a device before it touches it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) index: u32,
    /// The kernel's kind; none for hardware and loopback.
    pub(crate) kind: Option<InfoKind>,
    /// Index of the device below, and the VLAN, of a VLAN device.
    pub(crate) vlan: Option<(u32, u16)>,
    /// Index of the device that this one is a port of.
    pub(crate) master: Option<u32>,
    pub(crate) mac: Option<MacAddr>,
    pub(crate) alias: Option<String>,
}

/// The devices that a list of steps has named so far.
///
/// It is valid while one plan is performed: a step that changes what is kept here says so, or makes it forget.
#[derive(Debug)]
pub(crate) struct Devices<'a> {
    pub(crate) socket: &'a Socket,
    pub(crate) nics: &'a NicLine,
    known: BTreeMap<IfName, Device>,
}

impl<'a> Devices<'a> {
    pub(crate) const fn new(socket: &'a Socket, nics: &'a NicLine) -> Self {
        Self { socket, nics, known: BTreeMap::new() }
    }

    /// Returns the device called `name`; none if there is none.
    pub(crate) async fn find(&mut self, name: &IfName) -> Result<Option<Device>, Failure> {
        if let Some(device) = self.known.get(name) {
            return Ok(Some(device.clone()));
        }
        let mut request = LinkMessage::default();
        request.attributes.push(LinkAttribute::IfName(name.as_str().to_owned()));
        let answers = match self.socket.read(RouteNetlinkMessage::GetLink(request)).await {
            Err(failure) if failure.errno() == Some(Errno::ENODEV) => return Ok(None),
            other => other?,
        };
        // The kernel also finds a device by an alternative name; the steps mean the name itself.
        let device = answers.iter().find_map(|answer| {
            let RouteNetlinkMessage::NewLink(link) = answer else { return None };
            let is_it = pick!(link.attributes, LinkAttribute::IfName).is_some_and(|found| found == name.as_str());
            is_it.then(|| Device::of(link))
        });
        if let Some(device) = &device {
            self.known.insert(name.clone(), device.clone());
        }
        Ok(device)
    }

    /// Returns the device called `name`.
    ///
    /// *Errors*: [`Failure::Missing`] if there is none.
    pub(crate) async fn require(&mut self, name: &IfName) -> Result<Device, Failure> {
        self.find(name).await?.ok_or_else(|| Failure::Missing(name.clone()))
    }

    /// Tells whether any device is known.
    pub(crate) fn knows_any(&self) -> bool {
        !self.known.is_empty()
    }

    /// Notes a change of the device called `name`, if it is known.
    pub(crate) fn note(&mut self, name: &IfName, change: impl FnOnce(&mut Device)) {
        if let Some(device) = self.known.get_mut(name) {
            change(device);
        }
    }

    /// Forgets the device called `name`, since it was changed.
    pub(crate) fn forget(&mut self, name: &IfName) {
        self.known.remove(name);
    }

    /// Forgets every device, since others may have gone with the one that was removed.
    pub(crate) fn forget_all(&mut self) {
        self.known.clear();
    }
}

impl Device {
    fn of(link: &LinkMessage) -> Self {
        let info = pick!(link.attributes, LinkAttribute::LinkInfo).map_or(&[][..], Vec::as_slice);
        let base = pick!(link.attributes, LinkAttribute::Link).copied();
        let id = match pick!(info, LinkInfo::Data) {
            Some(InfoData::Vlan(vlan)) => pick!(vlan, InfoVlan::Id).copied(),
            Some(_) | None => None,
        };
        Self {
            index: link.header.index,
            kind: pick!(info, LinkInfo::Kind).cloned(),
            vlan: base.zip(id),
            master: pick!(link.attributes, LinkAttribute::Controller).copied().filter(|index| *index != 0),
            mac: pick!(link.attributes, LinkAttribute::Address).and_then(|bytes| MacAddr::from_bytes(bytes).ok()),
            alias: pick!(link.attributes, LinkAttribute::IfAlias).cloned(),
        }
    }

    /// Returns what the device is, for people: `a veth device`.
    pub(crate) fn kind_words(&self) -> String {
        match &self.kind {
            Some(kind) => format!("a {kind} device"),
            None => "a device without a software kind".to_owned(),
        }
    }
}
