//! Whole-system stories on real kernels and real libvirt, and the lab that they run in.
//!
//! The library holds the lab and the fleets made in it; the stories are under `tests/`. Nothing here ships, and nothing
//! here touches the interfaces of the machine it runs on: links are changed in network namespaces and virtual machines
//! of its own.

pub mod fleet;
pub mod lab;
