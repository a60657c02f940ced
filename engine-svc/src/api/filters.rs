//! libvirt's filters: the stock ones as facts, and those that hosts report, with what each really stops.

use std::collections::BTreeMap;

use tonic::{Request, Response, Status};
use trestle_model::fleet::{EntityId, Fleet};
use trestle_model::{Code, FilterEffects, FilterEntry, Finding, HostName, NwFilter};
use trestle_proto::engine::v1 as wire;
use trestle_proto::engine::v1::stock_filter_service_server::StockFilterService;
use trestle_proto::filter::Filter;
use trestle_proto::page::Page;
use trestle_proto::status::Refusal;
use trestle_rules::{stock_effects, stock_filters};
use trestle_store::Store;

use super::filtered::is_wanted;

const COLLECTION: &str = "stockFilters/";
const STOCK: &str = "trestle.engine.v1.StockFilter";
const REPORTED: &str = "trestle.engine.v1.ReportedFilter";

/// Serves `StockFilterService`.
#[derive(Debug, Clone)]
pub struct StockFilters(pub Store);

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
        let filter = Filter::parse(&wish.filter, STOCK).map_err(Refusal::malformed)?;
        let query = format!("{COLLECTION}{}", wish.filter);
        let page = Page::parse(wish.page_size, &wish.page_token, &query).map_err(Refusal::malformed)?;
        let is_beyond =
            |shown: &wire::StockFilter| page.after.as_deref().is_none_or(|after| shown.name.as_str() > after);
        let all = stock_filters().iter().map(build);
        let rest = all.filter(|shown| is_beyond(shown) && is_wanted(filter.as_ref(), STOCK, shown));
        let (stock_filters, next_page_token) = page.cut(&query, rest, |shown| shown.name.clone());
        Ok(Response::new(wire::ListStockFiltersResponse { stock_filters, next_page_token }))
    }

    async fn list_reported_filters(
        &self,
        request: Request<wire::ListReportedFiltersRequest>,
    ) -> Result<Response<wire::ListReportedFiltersResponse>, Status> {
        super::require_user(&request)?;
        let wish = request.get_ref();
        let filter = Filter::parse(&wish.filter, REPORTED).map_err(Refusal::malformed)?;
        let query = format!("reportedFilters/{}", wish.filter);
        let page = Page::parse(wish.page_size, &wish.page_token, &query).map_err(Refusal::malformed)?;
        let all = self.0.read(|fleet| reported(fleet, page.after.as_deref()));
        let rest = all.into_iter().map(build_reported).filter(|shown| is_wanted(filter.as_ref(), REPORTED, shown));
        let (reported_filters, next_page_token) = page.cut(&query, rest, |shown| shown.filter.clone());
        Ok(Response::new(wire::ListReportedFiltersResponse { reported_filters, next_page_token }))
    }
}

/// What filters do, and on which hosts.
type Reported = BTreeMap<String, Vec<(FilterEffects, Vec<HostName>)>>;

/// Gathers the filters beyond `after` that hosts report, at the cost of what all of them report.
fn reported(fleet: &Fleet, after: Option<&str>) -> Reported {
    let mut all = Reported::new();
    for host in fleet.hosts().keys() {
        let reported = fleet.observed(host).and_then(|record| record.capabilities.as_ref());
        let filters = reported.into_iter().flat_map(|reported| &reported.libvirt.filters);
        for (name, effects) in filters.filter(|(name, _)| after.is_none_or(|after| name.as_str() > after)) {
            let verdicts = all.entry(name.clone()).or_default();
            match verdicts.iter_mut().find(|(known, _)| known == effects) {
                Some((_, hosts)) => hosts.push(host.clone()),
                None => verdicts.push((*effects, vec![host.clone()])),
            }
        }
    }
    all
}

fn build_reported((filter, by_effects): (String, Vec<(FilterEffects, Vec<HostName>)>)) -> wire::ReportedFilter {
    let verdict = |(effects, hosts): (FilterEffects, Vec<HostName>)| wire::FilterVerdict {
        stops_mac_spoofing: effects.stops_mac_spoofing,
        stops_guest_tags: effects.stops_guest_tags,
        lets_guest_send: effects.lets_guest_send,
        hosts: hosts.into_iter().map(|host| EntityId::Host(host).to_string()).collect(),
    };
    let mut verdicts: Vec<_> = by_effects.into_iter().map(verdict).collect();
    verdicts.sort_by_key(|verdict| std::cmp::Reverse(verdict.hosts.len()));
    let stock = stock_filters().iter().any(|stock| stock.name == filter);
    wire::ReportedFilter { filter, stock, differs: verdicts.len() > 1, verdicts }
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
