//! Where frames go, and what they cost the machine.

use anyhow::{Result, ensure};

use crate::generator::Sender;
use crate::guests::{Guests, batch, counter, mac};
use crate::table::{Column, Measured, Row};
use crate::{Bench, Manager, Uplink};

/// A MAC that nobody has.
const NOBODY: &str = "02:00:00:00:00:99";
const FAR_END: Sender = Sender::Here("far0");
const WIRE: Sender = Sender::Peer("wire1");

/// A veth pair whose near end is the bridge's uplink; it goes with the value.
pub(crate) struct Cable;

impl Cable {
    pub(crate) fn lay() -> Result<Self> {
        let up = ["far0", "up0", "eth1"].map(|device| format!("link set {device} up"));
        let pair = "link add up0 type veth peer name far0".to_owned();
        batch("ip", &[&[pair], up.as_slice()].concat())?;
        Ok(Self)
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        if let Err(error) = batch("ip", &["link delete up0".to_owned()]) {
            eprintln!("the cable stays: {error:#}");
        }
    }
}

/// What the frames cost where no bridge takes them: the sender's part, and the uplink's.
pub(crate) fn floors(bench: &Bench, measured: &mut Measured) -> Result<()> {
    let nothing = || Ok(0);
    let alone = FAR_END.send(NOBODY, bench, nothing)?;
    measured.note(Row::UnknownCost, Column::Floor, alone.microseconds());
    measured.note(Row::KnownRate, Column::Floor, alone.rate());
    measured.note(Row::ForeignCost, Column::Floor, WIRE.send(NOBODY, bench, nothing)?.microseconds());
    Ok(())
}

/// Frames to a MAC that nobody has, and then to one that is known, over a virtual cable.
pub(crate) fn over_a_cable(guests: &Guests, manager: Manager, bench: &Bench, measured: &mut Measured) -> Result<()> {
    let sent = FAR_END.send(NOBODY, bench, || guests.delivered())?;
    measured.note(Row::Delivered, manager, sent.counted);
    measured.note(Row::UnknownCost, manager, sent.microseconds());
    if manager == Manager::Kernel {
        // As a guest that has just spoken, for longer than all frames take.
        batch("bridge", &[format!("fdb replace {} dev port0 master dynamic", mac(0))])?;
    }
    let sent = FAR_END.send(&mac(0), bench, || guests.delivered())?;
    ensure!(sent.counted == 1.0, "a known frame came to {} guests", sent.counted);
    measured.note(Row::KnownRate, manager, sent.rate());
    Ok(())
}

/// Frames to a MAC that nobody has, on the cable of a virtio card.
pub(crate) fn over_a_card(manager: Manager, bench: &Bench, measured: &mut Measured) -> Result<()> {
    let sent = WIRE.send(NOBODY, bench, || counter(Uplink::Card.device(), "rx_packets"))?;
    measured.note(Row::HandedUp, manager, 100.0 * sent.counted);
    measured.note(Row::ForeignCost, manager, sent.microseconds());
    Ok(())
}
