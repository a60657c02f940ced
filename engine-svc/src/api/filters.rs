//! libvirt's stock filters: facts to read, with what each really stops.

use tonic::{Request, Response, Status};
use trestle_model::{Code, FilterEntry, Finding, NwFilter};
use trestle_proto::engine::v1 as wire;
use trestle_proto::engine::v1::stock_filter_service_server::StockFilterService;
use trestle_proto::page::Page;
use trestle_proto::status::Refusal;
use trestle_rules::{stock_effects, stock_filters};

const COLLECTION: &str = "stockFilters/";

/// Serves `StockFilterService`.
#[derive(Debug, Clone, Copy)]
pub struct StockFilters;

#[tonic::async_trait]
impl StockFilterService for StockFilters {
    async fn get_stock_filter(
        &self,
        request: Request<wire::GetStockFilterRequest>,
    ) -> Result<Response<wire::GetStockFilterResponse>, Status> {
        super::require_user(&request)?;
        let name = &request.get_ref().name;
        let Some(filter) = name.strip_prefix(COLLECTION).filter(|filter| !filter.is_empty()) else {
            let finding = Finding::error(Code::NameInvalid, "name", "it is not the name of a stock filter");
            return Err(Refusal::from(finding.remedy("write it as stockFilters/{filter}")).into());
        };
        let found = stock_filters().iter().find(|stock| stock.name == filter).ok_or_else(|| {
            let finding = Finding::error(Code::NotFound, "name", "libvirt has no stock filter of that name");
            Refusal::from(finding.remedy("list the stock filters"))
        })?;
        Ok(Response::new(wire::GetStockFilterResponse { stock_filter: Some(build(found)) }))
    }

    async fn list_stock_filters(
        &self,
        request: Request<wire::ListStockFiltersRequest>,
    ) -> Result<Response<wire::ListStockFiltersResponse>, Status> {
        super::require_user(&request)?;
        let wish = request.get_ref();
        let page = Page::parse(wish.page_size, &wish.page_token, COLLECTION).map_err(Refusal::malformed)?;
        let is_beyond = |filter: &&NwFilter| page.after.as_deref().is_none_or(|after| filter.name.as_str() > after);
        let rest = stock_filters().iter().filter(is_beyond);
        let (found, next_page_token) = page.cut(COLLECTION, rest, |filter| filter.name.clone());
        let stock_filters = found.into_iter().map(build).collect();
        Ok(Response::new(wire::ListStockFiltersResponse { stock_filters, next_page_token }))
    }
}

fn build(filter: &NwFilter) -> wire::StockFilter {
    let (mut rules, mut refers_to) = (Vec::new(), Vec::new());
    for entry in &filter.entries {
        match entry {
            FilterEntry::Rule(rule) => rules.push(rule.to_string()),
            FilterEntry::Refers(other) => refers_to.push(format!("{COLLECTION}{other}")),
        }
    }
    let effects = stock_effects(&filter.name);
    wire::StockFilter {
        name: format!("{COLLECTION}{}", filter.name),
        chain: filter.chain.clone(),
        priority: filter.priority,
        rules,
        refers_to,
        stops_mac_spoofing: effects.is_some_and(|effects| effects.stops_mac_spoofing),
        stops_guest_tags: effects.is_some_and(|effects| effects.stops_guest_tags),
        lets_guest_send: effects.is_some_and(|effects| effects.lets_guest_send),
    }
}
