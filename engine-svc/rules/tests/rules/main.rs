//! The rules, against fleets built by hand.

#![cfg(test)]

mod bonds;
mod every_fleet;

mod filters;
mod fixture;
mod host_networks;
mod installed;
mod labels;
mod matrix;
mod offer;
mod plugged;
mod reachable;
mod roles;
mod state;
mod still_managed;
mod table;
mod vnics;
