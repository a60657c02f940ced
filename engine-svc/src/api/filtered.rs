//! Lists of what meets a filter: every resource on the way is looked at, so many that a page is answered soon.

use prost::Message;
use tonic::Status;
use tracing::error;
use trestle_model::fleet::EntityId;
use trestle_proto::engine_wire;
use trestle_proto::filter::Filter;
use trestle_proto::page::{Page, next_token};
use trestle_proto::schema;
use trestle_telemetry::chain;

use super::{Api, Collection, PAGE_BYTES, rest};

/// How many resources a page looks at: what is wanted may be rare.
const SEEN_A_PAGE: usize = 2000;
/// How many, where what is observed of each has to be known.
const OBSERVED_A_PAGE: usize = 200;
/// How many are copied at once.
const COPIED_AT_ONCE: usize = 64;

/// What is asked for.
pub(super) struct Filtered {
    pub(super) parent: Option<EntityId>,
    pub(super) page: Page,
    /// What the page's token fits.
    pub(super) query: String,
    pub(super) filter: Filter,
}

/// Tells whether something that is no stored resource meets a filter, where there is one.
pub(super) fn is_wanted<M: Message>(filter: Option<&Filter>, full_name: &str, one: &M) -> bool {
    filter.is_none_or(|filter| filter.matches(&schema::dynamic(full_name, one)))
}

impl Api {
    /// Lists on the blocking pool. *Cancel safety*: safe.
    pub(super) async fn list_filtered<R: Collection + Send + 'static>(
        &self,
        asked: Filtered,
    ) -> Result<(Vec<R>, String), Status> {
        let api = self.clone();
        tokio::task::spawn_blocking(move || api.search(&asked)).await.unwrap_or_else(|died| {
            error!(error = %chain(&died), "search died");
            Err(Status::internal("search died"))
        })
    }

    /// Returns the resources that meet the filter and where to go on: behind the last one that was looked at.
    fn search<R: Collection>(&self, asked: &Filtered) -> Result<(Vec<R>, String), Status> {
        let Filtered { parent, page, query, filter } = asked;
        let is_about_status = filter.asks_for("status");
        let most = if is_about_status { OBSERVED_A_PAGE } else { SEEN_A_PAGE };
        let mut last = page.after.clone();
        let (mut shown, mut bytes, mut seen) = (Vec::<R>::new(), 0_usize, 0_usize);
        loop {
            let after = last.as_deref().map(|name| engine_wire::parse_name_of::<R>(name, "page_token"));
            let after = after.transpose().map_err(trestle_proto::status::Refusal::malformed)?;
            let copied: Vec<R> = self.store.read(|fleet| {
                rest::<R>(fleet, parent.as_ref(), after.as_ref()).take(COPIED_AT_ONCE).map(R::build).collect()
            });
            if copied.is_empty() {
                return Ok((shown, String::new()));
            }
            for wire in copied {
                if seen == most || shown.len() == page.size {
                    return Ok((shown, last.map(|last| next_token(query, &last)).unwrap_or_default()));
                }
                seen += 1;
                let name = wire.name().to_owned();
                let wire = if is_about_status { wire.fill(self) } else { wire };
                if filter.matches(&schema::dynamic(R::FULL_NAME, &wire)) {
                    let wire = if is_about_status { wire } else { wire.fill(self) };
                    bytes = bytes.saturating_add(wire.encoded_len());
                    if bytes > PAGE_BYTES && !shown.is_empty() {
                        return Ok((shown, last.map(|last| next_token(query, &last)).unwrap_or_default()));
                    }
                    shown.push(wire);
                }
                last = Some(name);
            }
        }
    }
}
