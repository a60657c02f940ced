//! What was measured, and the table of it.

use std::collections::BTreeMap;

use crate::Manager;

/// The rows, in their order.
const ROWS: [(Row, &str); 10] = [
    (Row::Delivered, "frames at guests' ports, of an unknown unicast frame"),
    (Row::UnknownCost, "processor time of an unknown unicast frame, µs"),
    (Row::HandedUp, "foreign frames that a virtio card hands up, of 100"),
    (Row::ForeignCost, "processor time of a foreign frame at a virtio card, µs"),
    (Row::KnownRate, "known unicast, frames in a second of processor time"),
    (Row::Rest, "the machine at rest, % of one processor"),
    (Row::Churn, "1,000 entries of others come and go, ms of processor time"),
    (Row::Lost, "all guests' entries are lost and come back, ms of processor time"),
    (Row::Back, "from the loss of the first until the last is back, ms"),
    (Row::Switch, "switching the network to managed, ms of processor time"),
];

/// What a row tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Row {
    Delivered,
    UnknownCost,
    HandedUp,
    ForeignCost,
    KnownRate,
    Rest,
    Churn,
    Lost,
    Back,
    Switch,
}

/// Whose number it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Column {
    Floor,
    Unmanaged,
    Managed,
}

/// What was measured of so many guests.
pub(crate) struct Measured {
    guests: usize,
    numbers: BTreeMap<(Row, Column), f64>,
}

impl From<Manager> for Column {
    fn from(manager: Manager) -> Self {
        match manager {
            Manager::Kernel => Self::Unmanaged,
            Manager::Libvirt => Self::Managed,
        }
    }
}

/// Begins the table.
pub(crate) fn head() {
    println!("| what | guests | floor | unmanaged | managed | unmanaged : managed |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
}

impl Measured {
    pub(crate) fn new(guests: usize) -> Self {
        Self { guests, numbers: BTreeMap::new() }
    }

    /// Notes a number, and tells it at once.
    pub(crate) fn note(&mut self, row: Row, column: impl Into<Column>, number: f64) {
        let column = column.into();
        eprintln!("{} guests: {row:?} {column:?} {number:.3}", self.guests);
        self.numbers.insert((row, column), number);
    }

    /// Prints the rows.
    pub(crate) fn tell(&self) {
        for (row, what) in ROWS {
            let number = |column| self.numbers.get(&(row, column)).copied();
            let cell = |column| number(column).map_or_else(String::new, written);
            let ratio = match (number(Column::Unmanaged), number(Column::Managed)) {
                (Some(unmanaged), Some(managed)) if managed > 0.0 => format!("{:.2}", unmanaged / managed),
                (Some(_), Some(_)) => "none left".to_owned(),
                _ => String::new(),
            };
            let [floor, unmanaged, managed] = [Column::Floor, Column::Unmanaged, Column::Managed].map(cell);
            println!("| {what} | {} | {floor} | {unmanaged} | {managed} | {ratio} |", self.guests);
        }
    }
}

/// Three digits that count.
fn written(number: f64) -> String {
    match number {
        0.0 => "0".to_owned(),
        number if number < 1.0 => format!("{number:.3}"),
        number if number < 100.0 => format!("{number:.1}"),
        number => format!("{number:.0}"),
    }
}
