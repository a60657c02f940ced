//! `host adopt`: a bridge of somebody else's becomes the bridge of a network, as it is.

use trestle_proto::adoption::{READ, Wanted, adoption};
use trestle_proto::host::v1::Scope;

use super::capabilities::ask;
use super::said;
use super::setup::{Wish, carry_out_if_wanted};
use crate::arguments::Adopt;
use crate::context::Context;
use crate::failure::Failure;
use crate::output;

/// Runs `host adopt`.
pub(super) async fn run(context: &Context, arguments: Adopt) -> Result<(), Failure> {
    let Adopt { bridge, network, uplink, yes, change } = arguments;
    let capabilities = ask(context, &change.agent.agent, &READ).await?;
    let wanted = Wanted { bridge: &bridge, network: network.as_deref(), uplink: uplink.as_deref() };
    let adopted = adoption(&capabilities, wanted).map_err(|error| Failure::Usage(error.to_string()))?;
    for note in &adopted.notes {
        output::note(format_args!("{note}"));
    }
    let wish = Wish {
        networks: vec![adopted.network],
        bonds: Vec::new(),
        nics: Vec::new(),
        scope: Scope::Named,
        adopt_devices: adopted.adopt_devices,
    };
    carry_out_if_wanted(context, wish, said(yes), change).await
}
