//! The results: medians, ratios, goals.

use std::collections::BTreeMap;

use crate::measure::{Cost, Measured};
use crate::scene::Shape;

/// What is held against what, and the most that the ratio may be.
const GOALS: [(&str, &str, f64); 10] = [
    ("apply", "ip -batch", 1.5),
    ("apply again", "observe", 1.2),
    ("apply again", "dump, unread", 1.2),
    ("capabilities", "ip -d -j", 1.0),
    ("restore", "apply", 1.2),
    ("restore", "ip -batch", 1.8),
    ("libvirt, observe", "libvirt, asked", 1.2),
    ("apply", "nmstatectl apply", 0.1),
    ("apply again", "nmstatectl apply again", 0.1),
    ("capabilities", "nmstatectl show", 0.1),
];
/// The most memory that the agent may have, in megabytes.
const MEMORY: f64 = 40.0;

/// Prints one size's table; tells whether all goals hold.
pub(crate) fn print(shape: Shape, count: usize, rounds: &[Measured]) -> bool {
    let median = medians(rounds);
    println!("\n{count} networks ({}), medians of {} rounds", shape.name(), rounds.len());
    println!("| what | against | wall ms | floor | ratio | CPU ms | floor | ratio | goal |");
    println!("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |");
    let mut held = true;
    for (what, floor, most) in GOALS {
        let (Some(is), Some(against)) = (median.get(what), median.get(floor)) else { continue };
        let (wall, cpu) = (is.wall / against.wall, is.cpu / against.cpu);
        let good = wall <= most && cpu <= most;
        held &= good;
        println!(
            "| {what} | {floor} | {:.1} | {:.1} | {wall:.2} | {:.1} | {:.1} | {cpu:.2} | {most} {} |",
            is.wall,
            against.wall,
            is.cpu,
            against.cpu,
            word(good)
        );
    }
    for name in ["memory, idle", "memory", "memory, private", "memory, most"] {
        let Some(is) = median.get(name) else { continue };
        let good = is.wall <= MEMORY;
        held &= good || name != "memory";
        println!("| {name} | | {:.1} MB | | | | | | {MEMORY} MB {} |", is.wall, word(good));
    }
    held
}

const fn word(good: bool) -> &'static str {
    if good { "holds" } else { "missed" }
}

/// Returns the medians; what was repeated within a round has a number behind its name, and counts as often.
fn medians(rounds: &[Measured]) -> BTreeMap<&str, Cost> {
    let mut all: BTreeMap<&str, Vec<Cost>> = BTreeMap::new();
    for (name, cost) in rounds.iter().flatten() {
        all.entry(name.trim_end_matches(|letter: char| letter.is_ascii_digit()).trim_end()).or_default().push(*cost);
    }
    let middle = |costs: &[Cost], of: fn(&Cost) -> f64| {
        let mut values: Vec<f64> = costs.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    all.into_iter()
        .map(|(name, costs)| {
            (name, Cost { wall: middle(&costs, |cost| cost.wall), cpu: middle(&costs, |cost| cost.cpu) })
        })
        .collect()
}
