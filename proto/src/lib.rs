//! The wire: Trestle's `.proto` files as generated code, and the conversions between them and the model.
//!
//! Generated types stay at the edge: handlers and sessions parse them into `trestle_model` types, once, with every
//! violation reported at once, and build them from model types on the way out.

#[expect(missing_docs, unreachable_pub, clippy::all, clippy::as_conversions, reason = "generated code")]
mod generated {
    pub mod trestle {
        pub mod finding {
            pub mod v1 {
                tonic::include_proto!("trestle.finding.v1");
            }
        }
        pub mod host {
            pub mod v1 {
                tonic::include_proto!("trestle.host.v1");
            }
        }
        pub mod session {
            pub mod v1 {
                tonic::include_proto!("trestle.session.v1");
            }
        }
        pub mod engine {
            pub mod v1 {
                tonic::include_proto!("trestle.engine.v1");
            }
        }
    }
}

pub mod adoption;
pub mod engine_wire;
pub mod filter;
pub mod finding_wire;
pub mod host_wire;
pub mod page;
pub mod schema;
pub mod status;

mod form;
#[cfg(test)]
mod sample;

pub use generated::trestle::{engine, finding, host, session};

/// The encoded `FileDescriptorSet` of all of Trestle's files, with their comments, for reflection and ProtoJSON.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/trestle.binpb"));
