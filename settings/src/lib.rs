//! How a program reads its settings: one TOML file, overridden by the environment, parsed once.
//!
//! Which settings there are is each program's own matter; this crate knows only their form. It reads no file and no
//! environment: the program gives it their text.

mod list;
mod overlay;
mod period;
mod redaction;

pub use list::list;
pub use overlay::{SettingsError, parse};
pub use period::{BadPeriod, Period};
pub use redaction::redact;
