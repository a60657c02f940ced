//! The matrix of `matrix.md`, cell by cell, as the rules alone answer.

use trestle_rules::Fix;

use crate::fixture::fleet;
use crate::table::{cells, not_held};

#[test]
fn every_cell_of_the_matrix_holds() {
    let (mut tried, mut wrong) = (0, Vec::new());
    for cell in cells() {
        let mut fleet = fleet(cell.entities.iter().cloned());
        if let Some((host, record)) = &cell.record {
            fleet.observe(host.clone(), record.clone());
        }
        let findings = trestle_rules::propose(cell.change.clone(), Fix::Leave, &fleet).findings;
        wrong.extend(cell.differs(&findings.0));
        tried += 1;
    }
    for line in not_held() {
        eprintln!("not held: {line}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(tried > 1000, "only {tried} cells were read");
}
