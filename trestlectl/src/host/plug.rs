//! `host plug` and `host unplug`: change the network interfaces of a domain.

use std::time::Duration;

use tonic::Request;
use trestle_proto::host::v1::{
    Bandwidth, BandwidthRate, FilterParameter, FilterReference, InterfaceAction, Replug, SetDomainInterfacesRequest,
    SetDomainInterfacesResponse, WantedInterface,
};
use trestle_proto::schema;

use super::{connect, domain};
use crate::arguments::{Linked, Plug, ReportFormat, Unplug};
use crate::context::Context;
use crate::engine::retry;
use crate::failure::{Failure, findings_text};
use crate::output;

/// How long to wait: for the agent's turn, and for guests that are to release a device.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs `host plug`.
pub(super) async fn plug(context: &Context, arguments: Plug) -> Result<(), Failure> {
    let filter = match (arguments.filter, arguments.parameter) {
        (Some(name), parameters) => Some(FilterReference { name, parameters: read_parameters(&parameters)? }),
        (None, parameters) if parameters.is_empty() => None,
        (None, _) => return Err(Failure::Usage("--parameter is of a --filter".to_owned())),
    };
    let (inbound, outbound) = (read_rate(arguments.inbound.as_deref())?, read_rate(arguments.outbound.as_deref())?);
    let bandwidth = (inbound.is_some() || outbound.is_some()).then_some(Bandwidth { inbound, outbound });
    let wanted = WantedInterface {
        mac: arguments.mac,
        network: arguments.network,
        model: arguments.model.unwrap_or_default(),
        mtu: arguments.mtu,
        linked: Some(arguments.link == Linked::Up),
        isolated: arguments.isolated,
        filter,
        bandwidth,
    };
    let request = SetDomainInterfacesRequest {
        domain: arguments.domain,
        set: vec![wanted],
        remove: Vec::new(),
        replug: if arguments.replug { Replug::Allow } else { Replug::Refuse }.into(),
        validate_only: arguments.dry_run,
    };
    ask(context, &arguments.agent.agent, request, arguments.output).await
}

/// Runs `host unplug`.
pub(super) async fn unplug(context: &Context, arguments: Unplug) -> Result<(), Failure> {
    let request = SetDomainInterfacesRequest {
        domain: arguments.domain,
        remove: arguments.macs,
        validate_only: arguments.dry_run,
        ..SetDomainInterfacesRequest::default()
    };
    ask(context, &arguments.agent.agent, request, arguments.output).await
}

/// Reads a limit as virsh writes it, `1000,2000,512`; the peak may be empty.
fn read_rate(text: Option<&str>) -> Result<Option<BandwidthRate>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let bad = || Failure::Usage(format!("{text:?} is no limit: write AVERAGE[,PEAK[,BURST]], numbers all"));
    let mut numbers = text.split(',').map(|number| match number {
        "" => Ok(None),
        number => number.parse().map(Some).map_err(|_| bad()),
    });
    let mut next = || numbers.next().transpose().map(Option::flatten);
    let (average, peak, burst) = (next()?, next()?, next()?);
    if numbers.next().is_some() {
        return Err(bad());
    }
    Ok(Some(BandwidthRate { average: average.ok_or_else(bad)?, peak, burst }))
}

async fn ask(
    context: &Context,
    agent: &str,
    message: SetDomainInterfacesRequest,
    format: ReportFormat,
) -> Result<(), Failure> {
    let client = connect(context, agent).await?;
    let answer = retry::idempotent(|| async {
        let mut request = Request::new(message.clone());
        request.set_timeout(context.timeout.unwrap_or(PATIENCE));
        client.clone().set_domain_interfaces(request).await
    });
    let answer = answer.await.map_err(|status| Failure::of_call(format!("plug {}", message.domain), status))?;
    show(&answer.into_inner(), format)
}

fn show(answer: &SetDomainInterfacesResponse, format: ReportFormat) -> Result<(), Failure> {
    output::notes(&findings_text(&answer.findings));
    match format {
        ReportFormat::Json => output::json(&schema::dynamic("trestle.host.v1.SetDomainInterfacesResponse", answer)),
        ReportFormat::Table => output::table(HEADS, rows(answer)),
    }
}

const HEADS: [&str; 4] = ["DOMAIN", "MAC", "ACTION", "WIRED TO"];

/// Returns a line for each interface of the request.
fn rows(answer: &SetDomainInterfacesResponse) -> Vec<[String; 4]> {
    let is = answer.domain.clone().unwrap_or_default();
    let row = |outcome: &trestle_proto::host::v1::InterfaceOutcome| {
        let interface = is.interfaces.iter().find(|interface| interface.mac == outcome.mac);
        let place = interface.map_or_else(|| "-".to_owned(), domain::place);
        [is.name.clone(), outcome.mac.clone(), action(outcome.action()).to_owned(), place]
    };
    answer.interfaces.iter().map(row).collect()
}

const fn action(action: InterfaceAction) -> &'static str {
    match action {
        InterfaceAction::Unspecified => "unknown",
        InterfaceAction::Unchanged => "unchanged",
        InterfaceAction::Plugged => "plugged",
        InterfaceAction::Updated => "updated",
        InterfaceAction::Rewired => "rewired",
        InterfaceAction::Replugged => "replugged",
        InterfaceAction::Unplugged => "unplugged",
    }
}

fn read_parameters(texts: &[String]) -> Result<Vec<FilterParameter>, Failure> {
    let read = |text: &String| {
        let (name, value) = text.split_once('=').ok_or_else(|| {
            Failure::Usage(format!("--parameter {text}: NAME=VALUE is expected, such as IP=192.0.2.7"))
        })?;
        Ok(FilterParameter { name: name.to_owned(), value: value.to_owned() })
    };
    texts.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use trestle_proto::host::v1::{Domain, DomainInterface, InterfaceOutcome};

    use super::*;

    #[test]
    fn each_interface_has_a_line_and_one_that_is_gone_has_no_place() {
        let mac = |number: u8| format!("52:54:00:00:00:{number:02x}");
        let outcome = |number, action: InterfaceAction| InterfaceOutcome { mac: mac(number), action: action.into() };
        let interface =
            DomainInterface { mac: mac(1), network: "trestle-blue".to_owned(), ..DomainInterface::default() };
        let domain = Domain { name: "web".to_owned(), interfaces: vec![interface], ..Domain::default() };
        let interfaces = vec![outcome(2, InterfaceAction::Unplugged), outcome(1, InterfaceAction::Rewired)];
        let answer = SetDomainInterfacesResponse { domain: Some(domain), interfaces, findings: Vec::new() };
        let lines: Vec<String> = rows(&answer).iter().map(|row| row.join("|")).collect();
        assert_eq!(lines, ["web|52:54:00:00:00:02|unplugged|-", "web|52:54:00:00:00:01|rewired|network trestle-blue"]);
    }

    #[test]
    fn a_parameter_is_a_name_and_a_value() {
        let read = read_parameters(&["IP=192.0.2.7".to_owned(), "X=a=b".to_owned()]).unwrap();
        let texts: Vec<_> = read.iter().map(|parameter| (parameter.name.as_str(), parameter.value.as_str())).collect();
        assert_eq!(texts, [("IP", "192.0.2.7"), ("X", "a=b")]);
        assert!(read_parameters(&["IP".to_owned()]).is_err());
    }
}
