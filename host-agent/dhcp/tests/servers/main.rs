//! The clients against real servers: busybox's udhcpd for short leases, dnsmasq for the rest, each in a network
//! namespace of its own. They need root; what is not installed is skipped with its reason.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, also in its helpers")]

mod ipv4;
mod ipv6;
mod scene;
