//! How a Trestle gRPC server is assembled, and how its clients connect.
//!
//! [`Services`] gathers the services with health and reflection; [`Server`] runs them on [`Listener`]s behind one stack
//! of layers: spans, request ids, deadlines, panics, drain, message limits, peer identity, load. [`connect`] is the other
//! end. This crate knows no business type and no generated code of Trestle's; it speaks in gRPC statuses because those
//! are its trade, and all of them are made in `status`.

pub mod deadline;
pub mod identity;
pub mod request_id;

mod around;
mod client;
mod drain;
mod ending;
mod health;
mod listener;
mod load;
mod message;
mod panics;
mod server;
mod services;
mod spiffe;
mod stack;
mod status;
mod supervisor;
mod tls;

pub use client::{ClientOptions, ConnectError, Connection, Target, TargetError, connect, connect_lazy};
pub use health::Health;
pub use identity::Peer;
pub use listener::{BindError, ListenAddress, ListenAddressError, Listener};
pub use message::{MAX_RECEIVE_BYTES, MAX_SEND_BYTES};
pub use server::{Drained, Server, ServerError, ServerOptions};
pub use services::{Reflection, Services};
pub use spiffe::{Party, SpiffeError, SpiffeId};
pub use status::{DOMAIN, Reason};
pub use supervisor::Supervisor;
pub use tls::{ServerIdentity, Tls, TlsError, TlsOptions};
