//! DHCP's edge: the clients that ask servers for addresses.
//!
//! A client is a task of its own. It finds a lease, keeps it and loses it, and tells; what a lease means for the kernel is
//! others' business. So is what IPv6 routers advertise, which is heard here, too. This crate never decides where a client runs, and changes nothing in the kernel but the sockets
//! that it opens.

mod advertisement;
mod client;
mod clients;
mod device;
mod exchange;
mod heard;
mod ipv4;
mod ipv6;
mod rests;
mod rivals;
mod routers;

pub use clients::Dhcp;
pub use rivals::rivals;
pub use routers::{RouterEars, Routers};
