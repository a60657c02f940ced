//! Bad input over the real wire and in files: refused with the field, and never as a fault of the server's.

use anyhow::{Result, ensure};
use integration_tests::fleet::Fleet;
use integration_tests::fleet::foreign::call_all;
use integration_tests::lab::script::Status;
use serde_json::{Value, json};

const SETUP: &str = "trestle.host.v1.HostAgent/SetupNetworks";

/// Calls with raw or wild requests, what each must be answered with, and a field that the answer must name.
fn engine_cases() -> Vec<(Value, &'static str, &'static str)> {
    let create =
        |request: Value| json!({"method": "trestle.engine.v1.NetworkService/CreateNetwork", "request": request});
    let attach = |spec: Value| {
        json!({"method": "trestle.engine.v1.NetworkAttachmentService/CreateNetworkAttachment", "request": {
            "parent": "hosts/host-a", "networkAttachmentId": "blue", "networkAttachment": {"spec": spec}}})
    };
    vec![
        (
            json!({"method": "trestle.engine.v1.NetworkService/CreateNetwork", "raw": ""}),
            "INVALID_ARGUMENT",
            "network_id",
        ),
        // cluster.spec.switch_type = 77
        (
            json!({"method": "trestle.engine.v1.ClusterService/CreateCluster", "raw": "0a0178" .to_owned() + "12044202084d"}),
            "INVALID_ARGUMENT",
            "cluster.spec.switch_type",
        ),
        (json!({"method": "trestle.engine.v1.ClusterService/CreateCluster", "raw": "0aff"}), "INVALID_ARGUMENT", ""),
        (json!({"method": "trestle.engine.v1.ClusterService/CreateCluster", "raw": "ffffff"}), "INVALID_ARGUMENT", ""),
        (
            json!({"method": "trestle.engine.v1.NetworkService/CreateNetwork", "zeros": 5_000_000}),
            "RESOURCE_EXHAUSTED",
            "",
        ),
        (create(json!({"networkId": "a b", "network": {"spec": {}}})), "INVALID_ARGUMENT", "network_id"),
        (
            create(json!({"networkId": "x", "network": {"spec": {"vlanId": 4095}}})),
            "INVALID_ARGUMENT",
            "network.spec.vlan_id",
        ),
        (create(json!({"networkId": "x", "network": {"spec": {"mtu": 67}}})), "INVALID_ARGUMENT", "network.spec.mtu"),
        (
            create(json!({"networkId": "x", "network": {"spec": {"bridgeName": "a/b"}}})),
            "INVALID_ARGUMENT",
            "network.spec.bridge_name",
        ),
        (
            attach(json!({"nic": "eth1", "ipv4": {"static": {"addresses": ["300.1.1.1/24"]}}})),
            "INVALID_ARGUMENT",
            "network_attachment.spec.ipv4.static.addresses[0]",
        ),
        (attach(json!({"nic": "a name that is far too long"})), "INVALID_ARGUMENT", "network_attachment.spec.nic"),
        (
            json!({"method": "trestle.engine.v1.NetworkService/ListNetworks", "request": {"pageSize": -1}}),
            "INVALID_ARGUMENT",
            "page_size",
        ),
    ]
}

fn agent_cases() -> Vec<(Value, &'static str, &'static str)> {
    let setup = |request: Value| json!({"method": SETUP, "request": request});
    vec![
        // connectivity_check = 99
        (json!({"method": SETUP, "raw": "1063"}), "INVALID_ARGUMENT", "connectivity_check"),
        (json!({"method": SETUP, "raw": "0a00"}), "INVALID_ARGUMENT", "networks[0].name"),
        (json!({"method": SETUP, "raw": "0aff"}), "INVALID_ARGUMENT", ""),
        (json!({"method": SETUP, "zeros": 5_000_000}), "RESOURCE_EXHAUSTED", ""),
        (setup(json!({"networks": [{"name": "x", "remove": true, "mtu": 1400}]})), "INVALID_ARGUMENT", "networks[0]"),
        (setup(json!({"networks": [{"name": "x"}, {"name": "x"}]})), "INVALID_ARGUMENT", "networks[1].name"),
        (
            setup(json!({"networks": [{"name": "x"}], "connectivityTimeout": "0.1s"})),
            "INVALID_ARGUMENT",
            "connectivity_timeout",
        ),
        (
            setup(json!({"networks": [{"name": "x", "ipv4": {"static": {"addresses": []}}}]})),
            "INVALID_ARGUMENT",
            "networks[0].ipv4.static.addresses",
        ),
    ]
}

pub(crate) async fn is_refused_with_paths(fleet: &Fleet) -> Result<()> {
    let before = (fleet.a.picture().await?, fleet.ctl.json(&["get", "networks"]).await?);
    let mut wrong = Vec::new();
    for (caller, cases) in [(fleet.caller().await?, engine_cases()), (fleet.a.caller()?, agent_cases())] {
        let calls: Vec<&Value> = cases.iter().map(|(call, _, _)| call).collect();
        let answers = call_all(&caller, &json!(calls)).await?;
        for ((call, code, field), answer) in cases.iter().zip(answers) {
            if answer.code != *code
                || (!field.is_empty() && !answer.fields().iter().any(|path| path.starts_with(field)))
            {
                wrong.push(format!("{call}: not {code} at {field:?} but {answer:?}"));
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    fleet.a.picture().await?.same_as(&before.0)?;
    ensure!(fleet.ctl.json(&["get", "networks"]).await? == before.1);
    Ok(())
}

pub(crate) async fn bad_files_are_refused(fleet: &Fleet) -> Result<()> {
    for (file, said) in [
        ("kind: Network\nname: networks/x\nspec: {colour: red}", "spec.colour"),
        ("kind: Network\nname: networks/x\nspec: {mtu: lots}", "spec.mtu"),
        ("kind: Bridge\nname: bridges/x", "Bridge"),
        ("kind: Network\nname: [", "2"),
        ("", "no documents"),
    ] {
        let output = fleet.ctl.exec_with_input(&["apply", "-f", "-"], file).await?;
        ensure!(output.status == Status::Exited(2), "{file}: {output:?}");
        ensure!(output.stderr.contains(said), "{file}: {output:?}");
    }
    Ok(())
}
