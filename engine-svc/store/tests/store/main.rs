//! The store: its contract on every back end, and the disk's own stories.

#![cfg(test)]

mod contract;
mod crash;
mod disk;
mod fixture;
mod full_disk;
mod rehearsal;
mod scale;
