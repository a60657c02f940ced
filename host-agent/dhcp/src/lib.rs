//! DHCP's edge: the clients that ask servers for addresses.
//!
//! A client is a task of its own. It finds a lease, keeps it and loses it, and tells; what a lease means for the kernel is
//! others' business. This crate never decides where a client runs, and changes nothing in the kernel but the sockets
//! that it opens.

mod client;
mod clients;
mod device;
mod exchange;
mod ipv4;
mod ipv6;
mod rests;
mod rivals;

pub use clients::Dhcp;
pub use rivals::rivals;
