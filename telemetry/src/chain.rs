//! Prints an error together with all its sources, on one line.

use std::error::Error;
use std::fmt;

/// Displays an error and its sources, separated by `": "`; made by [`chain`].
#[derive(Clone, Copy)]
pub struct Chain<'a>(&'a (dyn Error + 'static));

/// Wraps an error so that its display shows the whole chain of causes.
///
/// For log fields: `warn!(error = %chain(&error), "bridge not created")`.
#[must_use]
pub fn chain<'a>(error: &'a (dyn Error + 'static)) -> Chain<'a> {
    Chain(error)
}

impl fmt::Display for Chain<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(formatter, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

impl fmt::Debug for Chain<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("bridge not created")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("kernel refused")]
    struct Inner(#[source] std::fmt::Error);

    #[test]
    fn prints_every_source_once_in_order() {
        let error = Outer(Inner(std::fmt::Error));
        let cause = std::fmt::Error.to_string();
        assert_eq!(chain(&error).to_string(), format!("bridge not created: kernel refused: {cause}"));
    }

    #[test]
    fn prints_an_error_without_source_as_it_is() {
        assert_eq!(chain(&std::fmt::Error).to_string(), std::fmt::Error.to_string());
    }
}
