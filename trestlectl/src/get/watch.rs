//! `get --watch`: shows resources, and then those that change.

use std::time::Duration;

use tokio::time::sleep;
use trestle_proto::engine::v1 as wire;
use trestle_proto::engine::v1::watch_response::News;
use trestle_proto::engine_wire::view_any;
use trestle_proto::schema;

use super::{columns, document_text};
use crate::arguments::Format;
use crate::engine::{Engine, name_of};
use crate::failure::Failure;
use crate::kind::Kind;
use crate::output;

/// How long to wait before a stream that ended is opened anew.
const REOPEN_PAUSE: Duration = Duration::from_millis(500);

/// What is watched.
pub(super) struct Watched {
    pub(super) kind: Kind,
    /// What the resources are parts of; empty for all.
    pub(super) parent: String,
    /// The one resource; none for all of them.
    pub(super) name: Option<String>,
}

/// Prints each change from where `first` was printed, and goes on where it was when a stream breaks.
///
/// `first` prints what there is, once the watch stands. As JSON, all that the watch tells is printed instead, message by
/// message: with the tokens that a later watch goes on from.
///
/// # Errors
/// When the engine is not reached, or refuses.
pub(super) async fn run(
    engine: &Engine,
    watched: &Watched,
    format: Format,
    first: impl AsyncFnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let failed = |status| Failure::of_call(watched.kind.collection(), status);
    let collections = vec![watched.kind.collection().to_owned()];
    let mut asked = wire::WatchRequest { collections, parent: watched.parent.clone(), resume_token: String::new() };
    let mut first = Some(first);
    loop {
        let mut stream = engine.watch_resources(&asked).await.map_err(failed)?;
        loop {
            let news = match stream.message().await {
                Ok(Some(news)) => news,
                Ok(None) => break,
                Err(status) if matches!(failed(status.clone()), Failure::NotReached { .. }) => break,
                Err(status) => return Err(failed(status)),
            };
            if format == Format::Json && watched.has(&news) {
                output::data(schema::to_json("trestle.engine.v1.WatchResponse", &news))?;
            }
            match news.news {
                Some(News::Bookmark(mark)) => {
                    asked.resume_token = mark.resume_token;
                    if let Some(first) = first.take()
                        && format != Format::Json
                    {
                        first().await?;
                    }
                }
                Some(_) if first.is_some() || format == Format::Json || !watched.has(&news) => {}
                Some(News::Removed(gone)) => removed(format, &gone.name)?,
                Some(News::Resource(any)) => {
                    // The watch does not tell what is observed.
                    if let Some(name) = view_any(&any).map(|one| name_of(&one).to_owned())
                        && let Some(resource) = engine.get(watched.kind, &name).await?
                    {
                        match format {
                            Format::Table => output::data(columns::line(watched.kind, &resource))?,
                            Format::Yaml => {
                                output::data(format_args!("---\n{}", document_text(watched.kind, &resource)?))?
                            }
                            Format::Name | Format::Json => output::data(&name)?,
                        }
                    }
                }
                None => {}
            }
        }
        sleep(REOPEN_PAUSE).await;
    }
}

fn removed(format: Format, name: &str) -> Result<(), Failure> {
    match format {
        Format::Yaml => output::data(format_args!("# removed: {name}")),
        Format::Table | Format::Name | Format::Json => output::data(format_args!("{name}  removed")),
    }
}

impl Watched {
    fn has(&self, news: &wire::WatchResponse) -> bool {
        let Some(wanted) = &self.name else { return true };
        match &news.news {
            Some(News::Resource(any)) => view_any(any).is_some_and(|one| name_of(&one) == wanted),
            Some(News::Removed(gone)) => gone.name == *wanted,
            Some(News::Bookmark(_)) | None => true,
        }
    }
}
