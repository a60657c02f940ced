//! What a host's devices have counted.

use serde::{Deserialize, Serialize};

use crate::IfName;

/// A device's counters, since it was made or its driver was loaded; they only grow, and begin anew with the device.
///
/// *Source*: `struct rtnl_link_stats64` in the kernel's `include/uapi/linux/if_link.h`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkStatistics {
    /// The device's name.
    pub name: IfName,
    /// The kernel's index: a device that was made anew has another, and counts from zero.
    pub index: u32,
    /// Its counters.
    pub counters: Counters,
}

/// A device's counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counters {
    /// Bytes received.
    pub rx_bytes: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets received.
    pub rx_packets: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Packets received with an error.
    pub rx_errors: u64,
    /// Packets that could not be sent.
    pub tx_errors: u64,
    /// Packets received and dropped for want of room or of a taker.
    pub rx_dropped: u64,
    /// Packets dropped before they were sent.
    pub tx_dropped: u64,
    /// Multicast packets received.
    pub multicast: u64,
    /// Collisions while sending.
    pub collisions: u64,
    /// Of the receive errors: wrong length.
    pub rx_length_errors: u64,
    /// Of the receive errors: the device's ring ran over.
    pub rx_over_errors: u64,
    /// Of the receive errors: wrong checksum of the frame.
    pub rx_crc_errors: u64,
    /// Of the receive errors: wrong alignment.
    pub rx_frame_errors: u64,
    /// Of the receive errors: the device's queue ran over.
    pub rx_fifo_errors: u64,
    /// Packets that the device missed for want of buffers.
    pub rx_missed_errors: u64,
    /// Of the send errors: aborted.
    pub tx_aborted_errors: u64,
    /// Of the send errors: no carrier.
    pub tx_carrier_errors: u64,
    /// Of the send errors: the device's queue ran empty.
    pub tx_fifo_errors: u64,
    /// Packets received that no protocol took.
    pub rx_nohandler: u64,
}
