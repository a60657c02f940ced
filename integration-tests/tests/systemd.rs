//! A host as operators have it: booted by systemd, with udev, D-Bus, systemd-resolved, libvirt and the units that are shipped.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration_tests::fleet::{in_checkout, program};
use integration_tests::lab::libvirt::{Guest, guest_xml};
use integration_tests::lab::nic::Nic;
use integration_tests::lab::vm::Vm;
use integration_tests::lab::{Lab, workspace};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(180);
const SOCKET: &str = "unix:/run/trestle/host-agent.sock";
const SETUP: &str = "trestle.host.v1.HostAgent/SetupNetworks";
/// The far end of `eth1`'s cable: a name server that knows one name, and a DHCP server.
const FAR: &str = "ip netns exec peer sh -ec '
    ip address add 192.0.2.53/24 dev wire1
    dnsmasq --no-daemon --conf-file=/dev/null --no-resolv --no-hosts --bind-interfaces --listen-address=192.0.2.53 \
        --address=/lab.example/192.0.2.99 --pid-file= --dhcp-range=192.0.2.100,192.0.2.150,1h --no-ping \
        --dhcp-option=option:router,192.0.2.53 --dhcp-option=option:domain-search,lab.example \
        --dhcp-leasefile=/run/far.leases >/run/far.log 2>&1 &'";
const NEIGHBOUR: &str = "02:00:00:00:00:01";
const MANAGED_GUEST: &str = "52:54:00:00:00:02";
/// A hook that tries what its sandbox must not let it do, and says in its refusal what came of it.
const HOOK: &str = r#"#!/usr/bin/python3
import json, os, socket, sys
call = json.load(sys.stdin)
done = []
for path in ["/etc/trestle/hook", "/var/lib/trestle/hook", "/run/trestle/hook", "/usr/hook"]:
    try:
        open(path, "w")
        done.append("wrote " + path)
    except OSError:
        pass
if os.getuid() == 0:
    done.append("is root")
try:
    socket.create_connection(("192.0.2.53", 53), 2)
    done.append("reached the network")
except OSError:
    pass
networks = [network.get("name") for network in call["request"].get("networks", [])]
answer = {"refusal": "never red; did: " + str(done)} if "red" in networks else {}
json.dump(answer, sys.stdout)
"#;

struct Host {
    machine: Vm,
}

impl Host {
    /// Installs as `docs/install.md` says; the programs are those just built, where they are.
    async fn install(&self) -> Result<()> {
        let checkout = workspace();
        let units = checkout.join("deploy/systemd").display().to_string();
        for name in ["host-agent", "engine-svc", "trestlectl"] {
            let drop_in = format!("[Service]\nExecStart=\nExecStart={} run\n", program::built(name)?.display());
            let unit = match name {
                "host-agent" => "trestle-host-agent",
                "engine-svc" => "trestle-engine",
                _ => continue,
            };
            self.machine.write(&format!("/etc/systemd/system/{unit}.service.d/lab.conf"), &drop_in).await?;
        }
        let agent = "host = \"host-a\"\n[keeper]\nperiod = \"2s\"\n[telemetry]\nlog_filter = \"info\"\n";
        self.machine.write("/etc/trestle/host-agent.toml", agent).await?;
        let engine = "listen = [\"127.0.0.1:7443\"]\n[store]\npath = \"/var/lib/trestle/engine/engine.redb\"\n";
        self.machine.write("/etc/trestle/engine-svc.toml", engine).await?;
        self.machine.write("/etc/trestle/hooks/before-10-example", HOOK).await?;
        let script = format!(
            "cp {units}/*.service {units}/hooks/*.socket {units}/hooks/*.service /etc/systemd/system/
             chmod 755 /etc/trestle/hooks/before-10-example
             systemd-sysusers {units}/trestle-engine.sysusers.conf
             systemctl daemon-reload"
        );
        self.machine.run(&script).await?;
        Ok(())
    }

    /// Runs a long script that must succeed.
    async fn run(&self, script: &str) -> Result<String> {
        let output = self.machine.exec(script, LIMIT).await?;
        output.success().with_context(|| script.to_owned())
    }

    fn ctl(&self, arguments: &str) -> Result<String> {
        Ok(format!("{} host {arguments} --agent {SOCKET}", program::built("trestlectl")?.display()))
    }

    /// Asks for a change; says what the command line said, and how it ended.
    async fn set_up(&self, wish: &Value, flags: &str) -> Result<Result<String, String>> {
        self.machine.write("/run/wish.yaml", &wish.to_string()).await?;
        let output = self.machine.exec(&self.ctl(&format!("setup -f /run/wish.yaml {flags}"))?, LIMIT).await?;
        let said = format!("{}{}", output.stdout, output.stderr);
        Ok(output.success().map_err(|_| said))
    }

    async fn must_set_up(&self, wish: &Value, flags: &str) -> Result<String> {
        self.set_up(wish, flags).await?.map_err(anyhow::Error::msg)
    }

    /// Asks for a change that nobody confirms, which must undo itself.
    async fn unconfirmed(&self, wish: &Value) -> Result<()> {
        let mut asked = wish.clone();
        asked["connectivityTimeout"] = json!("2s");
        self.machine.write("/run/wish.json", &asked.to_string()).await?;
        let (grpcurl, socket) = (program::grpcurl()?.display().to_string(), SOCKET.trim_start_matches("unix:"));
        let told = self
            .run(&format!("{grpcurl} -plaintext -unix -authority localhost -d @ {socket} {SETUP} </run/wish.json"))
            .await?;
        ensure!(told.contains("OUTCOME_ROLLED_BACK") && told.contains("\"verified\""), "{told}");
        Ok(())
    }

    async fn capabilities(&self, fields: &str) -> Result<Value> {
        let text = self.run(&self.ctl(&format!("capabilities --fields {fields} -o json"))?).await?;
        serde_json::from_str(&text).with_context(|| text)
    }

    /// What systemd-resolved has for a device: its servers and its domains.
    async fn names(&self, link: &str) -> Result<String> {
        let said = self.run(&format!("resolvectl dns {link}; resolvectl domain {link}")).await?;
        Ok(said
            .lines()
            .map(|line| line.split_once(':').map_or("", |(_, value)| value.trim()))
            .collect::<Vec<_>>()
            .join(" "))
    }
}

fn blue(nameserver: &str) -> Value {
    json!({"networks": [{
        "name": "blue", "nic": "eth1", "defaultRoute": true, "nameservers": [nameserver],
        "ipv4": {"static": {"addresses": ["192.0.2.1/24"], "gateway": "192.0.2.53"}},
    }]})
}

#[tokio::test]
async fn the_units_bring_networks_up_before_guests_and_name_servers_into_systemd_resolved() -> Result<()> {
    let Some(lab) = Lab::enter("systemd").await? else { return Ok(()) };
    let machine = lab.vm("host-a").nic(Nic::Wire).nic(Nic::Wire).nic(Nic::Wire).systemd().start().await?;
    let mut host = Host { machine };
    println!("boot: {:.1?}", host.machine.boot_time());
    host.install().await.context("installing")?;
    units_are_sound(&host).await.context("the units")?;
    host.machine.run(FAR).await?;
    // libvirtd by itself, as after a boot, and not when it is called.
    host.run("systemctl enable libvirtd.service && systemctl enable --now systemd-resolved trestle-engine trestle-host-agent").await?;
    host.run("systemctl start libvirtd.service").await?;
    let failed = host.run("systemctl --failed --plain --no-legend").await?;
    ensure!(failed.is_empty(), "{failed}");
    host.machine.wait_until(&host.ctl("capabilities --fields boot_id")?, LIMIT).await?;

    name_servers_are_systemd_resolveds(&host).await.context("name servers")?;
    names_of_a_lease_are_systemd_resolveds(&host).await.context("name servers of a lease")?;
    a_hook_is_asked_in_its_sandbox(&host).await.context("the hook")?;
    other_daemons_keep_their_devices(&host).await.context("other daemons")?;
    guests_come_after_their_networks(&mut host).await.context("the reboot")
}

async fn units_are_sound(host: &Host) -> Result<()> {
    let units = "trestle-host-agent.service trestle-engine.service trestle-hook-before-10-example.socket";
    let said = host.run(&format!("cd /etc/systemd/system && systemd-analyze verify {units} 2>&1")).await?;
    ensure!(said.is_empty(), "{said}");
    for (unit, most) in [("trestle-host-agent", 30), ("trestle-engine", 15), ("trestle-hook-before-10-example@", 15)] {
        let path = format!("/etc/systemd/system/{unit}.service");
        host.run(&format!("systemd-analyze security --offline=true --threshold={most} {path} | tail -1")).await?;
    }
    Ok(())
}

async fn name_servers_are_systemd_resolveds(host: &Host) -> Result<()> {
    let wish = blue("192.0.2.53");
    host.must_set_up(&wish, "--check none --commit").await?;
    ensure!(host.names("blue").await? == "192.0.2.53 ~.", "{}", host.names("blue").await?);
    let resolver = host.capabilities("resolver").await?["resolver"].clone();
    let told = json!({"nameservers": ["192.0.2.53"], "mechanism": "RESOLVER_MECHANISM_SYSTEMD_RESOLVED"});
    ensure!(resolver == told, "{resolver}");
    // A program that asks the C library gets what the far end answers.
    host.machine.wait_until("getent ahostsv4 host.lab.example | grep -q '^192.0.2.99 '", LIMIT).await?;

    let again = host.must_set_up(&wish, "--check none --commit").await?;
    ensure!(again.contains("unchanged"), "asked again: {again}");

    // It outlives the daemon; what is taken away comes back.
    host.run("systemctl restart systemd-resolved").await?;
    ensure!(host.names("blue").await? == "192.0.2.53 ~.");
    host.run("resolvectl revert blue").await?;
    host.machine.wait_until("resolvectl dns blue | grep -q 192.0.2.53", LIMIT).await?;
    ensure!(host.names("blue").await? == "192.0.2.53 ~.");

    // Not confirmed, all is as it was, also on the device that others told something of. Its domain is for routing alone: of
    // several search domains systemd-resolved gives the C library an order by chance, and no server knows corp.example.
    host.run("ip link set eth2 up; resolvectl dns eth2 198.51.100.53; resolvectl domain eth2 ~corp.example").await?;
    let green = json!({"networks": [
        {"name": "green", "nic": "eth2", "bridged": false, "defaultRoute": true, "nameservers": ["203.0.113.53"],
         "ipv4": {"static": {"addresses": ["203.0.113.1/24"], "gateway": "203.0.113.53"}}},
    ]});
    host.unconfirmed(&green).await?;
    ensure!(host.names("blue").await? == "192.0.2.53 ~.", "{}", host.names("blue").await?);
    ensure!(host.names("eth2").await? == "198.51.100.53 ~corp.example", "{}", host.names("eth2").await?);

    // While systemd-resolved is away nobody else's name servers are touched.
    host.run("systemctl mask --now --runtime systemd-resolved").await?;
    let refused = host.set_up(&blue("192.0.2.54"), "--check none").await?.expect_err("nobody could set them");
    ensure!(refused.contains("RESOLVER_KEPT"), "{refused}");
    host.run("systemctl unmask --runtime systemd-resolved; systemctl start systemd-resolved").await?;
    Ok(())
}

async fn names_of_a_lease_are_systemd_resolveds(host: &Host) -> Result<()> {
    let told = "192.0.2.53 lab.example ~.";
    let until = "resolvectl domain blue | grep -q lab.example && resolvectl dns blue | grep -q 192.0.2.53";
    // An earlier owner's name servers are out of force meanwhile, and others' never touched.
    let leased = json!({"networks": [{"name": "blue", "nic": "eth1", "defaultRoute": true, "ipv4": {"dhcp": {}}}]});
    host.unconfirmed(&leased).await?;
    ensure!(host.names("blue").await? == "192.0.2.53 ~.", "{}", host.names("blue").await?);
    host.must_set_up(&leased, "--check none").await?;
    host.machine.wait_until(until, LIMIT).await?;
    ensure!(host.names("blue").await? == told, "{}", host.names("blue").await?);
    ensure!(host.names("eth2").await? == "198.51.100.53 ~corp.example", "{}", host.names("eth2").await?);
    let resolver = host.capabilities("resolver").await?["resolver"].clone();
    ensure!(resolver["nameservers"] == json!(["192.0.2.53"]), "{resolver}");
    ensure!(resolver["searchDomains"] == json!(["lab.example"]), "{resolver}");
    // The C library searches a short name there.
    host.machine.wait_until("getent ahostsv4 host | grep -q '^192.0.2.99 '", LIMIT).await?;
    ensure!(
        host.must_set_up(&leased, "--check none").await?.contains("unchanged"),
        "the lease's names are a difference"
    );

    // What is lost comes back, and the next agent goes on with it.
    host.run("resolvectl revert blue && systemctl restart trestle-host-agent").await?;
    host.machine.wait_until(until, LIMIT).await?;
    // A change that names its own and is not confirmed leaves them as they were.
    host.unconfirmed(&blue("192.0.2.54")).await?;
    host.machine.wait_until(until, LIMIT).await?;
    ensure!(host.names("blue").await? == told, "{}", host.names("blue").await?);
    host.must_set_up(&blue("192.0.2.53"), "--check none --commit").await?;
    ensure!(host.names("blue").await? == "192.0.2.53 ~.", "{}", host.names("blue").await?);
    Ok(())
}

async fn a_hook_is_asked_in_its_sandbox(host: &Host) -> Result<()> {
    host.run("systemctl enable --now trestle-hook-before-10-example.socket").await?;
    let red = json!({"networks": [{"name": "red"}]});
    let refused = host.set_up(&red, "--check none").await?.expect_err("the hook refuses");
    ensure!(refused.contains("HOOK_REFUSED") && refused.contains("never red; did: []"), "{refused}");
    ensure!(host.run("ls /sys/class/net").await?.lines().all(|link| link != "red"));
    // udev gives a bridge without a NIC a MAC of its own choice, soon after it was made: no difference to Trestle.
    let grey = json!({"networks": [{"name": "grey"}]});
    host.must_set_up(&grey, "--check none --commit").await?;
    host.run("udevadm settle && test $(cat /sys/class/net/grey/addr_assign_type) = 3").await?;
    ensure!(host.must_set_up(&grey, "--check none").await?.contains("unchanged"), "udev's MAC is a difference");
    // The agent's restart leaves the hook's socket, and the networks, where they are.
    host.run("systemctl restart trestle-host-agent").await?;
    host.machine.wait_until(&host.ctl("capabilities --fields boot_id")?, LIMIT).await?;
    let refused = host.set_up(&red, "--check none").await?.expect_err("the hook still refuses");
    ensure!(refused.contains("HOOK_REFUSED"), "{refused}");
    Ok(())
}

async fn other_daemons_keep_their_devices(host: &Host) -> Result<()> {
    let managed =
        async || -> Result<Value> { Ok(host.capabilities("managed_devices").await?["managedDevices"].clone()) };
    let wish = |nic: &str| json!({"networks": [{"name": "green", "nic": nic}]});
    ensure!(managed().await?.as_array().is_none_or(Vec::is_empty), "{}", managed().await?);

    // systemd-networkd, of a NIC of its own and by a careless file also of every bridge.
    let file = "/etc/systemd/network/50-lan.network";
    host.machine
        .write(file, "[Match]\nName=eth2\n[Network]\nAddress=198.51.100.7/24\nLinkLocalAddressing=no\n")
        .await?;
    host.run("systemctl start systemd-networkd && /lib/systemd/systemd-networkd-wait-online -i eth2 --timeout 60")
        .await?;
    let by_networkd = json!([{"device": "eth2", "manager": "DEVICE_MANAGER_SYSTEMD_NETWORKD", "source": file}]);
    ensure!(managed().await? == by_networkd, "{}", managed().await?);
    let refused = host.set_up(&wish("eth2"), "--check none").await?.expect_err("systemd-networkd has it");
    ensure!(
        refused.contains("DEVICE_MANAGED") && refused.contains(file) && refused.contains("networkctl reload"),
        "{refused}"
    );
    // Handed over as the refusal says, it is taken; what is done beside it never was touched.
    host.machine
        .write("/etc/systemd/network/00-trestle.network", "[Match]\nName=eth2\n[Link]\nUnmanaged=yes\n")
        .await?;
    host.run("networkctl reload").await?;
    host.machine.wait_until("! ip -o address show dev eth2 | grep -q 198.51.100.7", LIMIT).await?;
    host.must_set_up(&wish("eth2"), "--check none").await?;
    host.must_set_up(&json!({"networks": [{"name": "green", "remove": true}]}), "--check none").await?;
    host.run("systemctl stop systemd-networkd.socket systemd-networkd").await?;

    // NetworkManager, which knows Trestle's own devices and counts for those of others.
    host.run("systemctl start NetworkManager && nmcli device set eth2 managed yes").await?;
    host.machine
        .wait_until("grep -q managed=true /run/NetworkManager/devices/$(cat /sys/class/net/eth2/ifindex)", LIMIT)
        .await?;
    let devices = managed().await?;
    let named = |name: &str| devices.as_array().into_iter().flatten().any(|device| device["device"] == name);
    ensure!(named("eth2") && !named("blue") && !named("grey"), "{devices}");
    let refused = host.set_up(&wish("eth2"), "--check none").await?.expect_err("NetworkManager has it");
    ensure!(refused.contains("DEVICE_MANAGED") && refused.contains("nmcli device set eth2 managed no"), "{refused}");
    host.run("nmcli device set eth2 managed no").await?;
    host.must_set_up(&wish("eth2"), "--check none").await?;
    nothing_drifted(host, 3).await?;
    host.must_set_up(&json!({"networks": [{"name": "green", "remove": true}]}), "--check none").await?;
    host.run("systemctl stop NetworkManager").await?;
    ensure!(managed().await?.as_array().is_none_or(Vec::is_empty), "{}", managed().await?);
    Ok(())
}

async fn guests_come_after_their_networks(host: &mut Host) -> Result<()> {
    let managed = json!({"networks": [{"name": "green", "nic": "eth2", "manageMacsWithLibvirt": true}]});
    host.must_set_up(&managed, "--check none --commit").await?;
    let guests = [("vm1", "52:54:00:00:00:01", "blue"), ("vm2", MANAGED_GUEST, "green")];
    for (name, mac, network) in guests {
        let network = format!("trestle-{network}");
        host.machine.wait_until(&format!("virsh -c qemu:///system -q net-info {network}"), LIMIT).await?;
        let guest = Guest { name: name.to_owned(), mac: mac.to_owned(), network };
        host.machine.write(&format!("/run/{name}.xml"), &guest_xml(&guest)).await?;
        host.run(&format!(
            "virsh -c qemu:///system -q define /run/{name}.xml && virsh -c qemu:///system -q autostart {name}"
        ))
        .await?;
    }
    host.machine.reboot().await?;
    println!("boot with agent and libvirt: {:.1?}", host.machine.boot_time());

    for (name, _, network) in guests {
        host.machine
            .wait_until(&format!("virsh -c qemu:///system -q domstate {name} | grep -q running"), LIMIT)
            .await?;
        let tap = host.machine.tap(name).await?;
        let master = host.run(&format!("basename $(readlink /sys/class/net/{tap}/master)")).await?;
        ensure!(master.trim() == network, "{name}: {master}");
    }
    a_managed_guest_gets_what_is_its_own(host).await.context("the managed network")?;
    let time = async |unit: &str, property: &str| -> Result<u64> {
        let value = host.run(&format!("systemctl show --value -p {property} {unit}")).await?;
        Ok(value.trim().parse()?)
    };
    let up = time("trestle-host-agent", "ActiveEnterTimestampMonotonic").await?;
    let libvirt = time("libvirtd", "ExecMainStartTimestampMonotonic").await?;
    ensure!(up < libvirt, "the agent was ready at {up} µs, libvirtd began at {libvirt} µs");
    let begun = time("trestle-host-agent", "ExecMainStartTimestampMonotonic").await?;
    println!(
        "the agent was ready {} ms after its start, libvirtd began {} ms later",
        (up - begun) / 1000,
        (libvirt - up) / 1000
    );

    host.machine.wait_until(&host.ctl("capabilities --fields boot_id")?, LIMIT).await?;
    ensure!(host.names("blue").await? == "192.0.2.53 ~.", "{}", host.names("blue").await?);
    nothing_drifted(host, 3).await?;
    Ok(())
}

/// What a guest needs that started by itself on a managed network: entries, a port that neither learns nor floods, and frames
/// from the wire that are its own, and no others.
async fn a_managed_guest_gets_what_is_its_own(host: &Host) -> Result<()> {
    let tap = host.machine.tap("vm2").await?;
    let entries = format!("bridge fdb show br green | grep '^{MANAGED_GUEST} dev {tap} .*static' | wc -l | grep -qx 2");
    host.machine.wait_until(&entries, LIMIT).await?;
    host.machine.wait_until(&format!("grep -qx 0 /sys/class/net/{tap}/brport/learning"), LIMIT).await?;
    host.machine.wait_until(&format!("grep -qx 0 /sys/class/net/{tap}/brport/unicast_flood"), LIMIT).await?;
    let python = program::python()?.display().to_string();
    let frames = in_checkout("integration-tests/lab/frames.py").display().to_string();
    for (to, expected) in [(MANAGED_GUEST, 3), ("02:00:00:00:00:99", 0)] {
        let words = format!("peer/wire2 3 {to} {NEIGHBOUR} none {NEIGHBOUR} {tap}");
        let said = host.run(&format!("{python} {frames} count {words}")).await?;
        let seen: Value = serde_json::from_str(&said)?;
        ensure!(seen[tap.as_str()] == expected, "to {to}: {said}");
    }
    Ok(())
}

/// Checks that the host runs this many networks, each as it was asked for.
async fn nothing_drifted(host: &Host, count: usize) -> Result<()> {
    let networks = host.capabilities("networks").await?["networks"].clone();
    let drift: Vec<&Value> = networks.as_array().context("networks")?.iter().map(|network| &network["drift"]).collect();
    let none = drift.iter().all(|drift| drift.as_array().is_none_or(Vec::is_empty));
    ensure!(drift.len() == count && none, "{networks}");
    Ok(())
}
