//! The lab keeps its own promises, so that a story which fails in it has failed by itself.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration_tests::lab::libvirt::Guest;
use integration_tests::lab::namespace::Namespace;
use integration_tests::lab::nic::Nic;
use integration_tests::lab::script::Status;
use integration_tests::lab::segment::test_frame;
use integration_tests::lab::vm::Vm;
use integration_tests::lab::{Lab, probe};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::time::Instant;

const SHORT: Duration = Duration::from_secs(20);

/// Prints how long a part took.
fn took(what: &str, since: Instant) {
    println!("{:6.2} s  {what}", since.elapsed().as_secs_f64());
}

#[tokio::test]
async fn machine_runs_scripts_reaches_the_test_and_keeps_its_disk() -> Result<()> {
    let Some(lab) = Lab::enter("machine").await? else { return Ok(()) };
    let mut vm = lab.vm("solo").nic(Nic::User { guest_ports: vec![7000] }).nic(Nic::Wire).start().await?;
    println!("{:6.2} s  boot", vm.boot_time().as_secs_f64());

    scripts_end_as_they_should(&vm).await?;
    cards_are_named_in_order(&vm).await?;
    traffic_crosses_the_user_network(&vm).await?;
    cable_can_be_pulled(&vm).await?;
    disk_survives_reboot_and_power_cut(&mut vm).await
}

async fn scripts_end_as_they_should(vm: &Vm) -> Result<()> {
    let output = vm.exec("echo out; echo err >&2; exit 7", SHORT).await?;
    assert_eq!(output.status, Status::Exited(7));
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("out\n", "err\n"));
    assert_eq!(vm.exec("kill -USR1 $$", SHORT).await?.status, Status::Signalled(10));
    assert!(vm.run("false").await.is_err());

    let begun = Instant::now();
    let late = vm.exec("echo begun; sleep 1000", Duration::from_secs(1)).await?;
    assert_eq!((late.status, late.stdout.as_str()), (Status::TimedOut, "begun\n"));
    assert!(begun.elapsed() < SHORT);
    assert_eq!(vm.run("pgrep -fx 'sleep 1000' || echo none").await?, "none\n");

    // The long one ends only when the short one, asked later, has run.
    let begun = Instant::now();
    let (long, short) = tokio::join!(
        vm.exec("until [ -e /run/lab/go ]; do sleep 0.05; done; echo long", SHORT),
        vm.exec("touch /run/lab/go; echo short", SHORT),
    );
    assert_eq!((long?.success()?.as_str(), short?.success()?.as_str()), ("long\n", "short\n"));
    took("two scripts side by side", begun);

    let begun = Instant::now();
    for _ in 0..20 {
        vm.run("true").await?;
    }
    took("twenty scripts in a row", begun);

    let text = "it's \"quoted\" $HOME\n".repeat(20_000);
    vm.write("/run/lab/some where/text", &text).await?;
    assert_eq!(vm.read("/run/lab/some where/text").await?, text);

    let daemon = vm.start_daemon("bash -c 'echo up; exec sleep 2000'", "/var/log/daemon.log").await?;
    vm.wait_until(&format!("grep -q up {}", daemon.log), SHORT).await?;
    assert_eq!(vm.run(&format!("tr '\\0' ' ' </proc/{}/cmdline", daemon.pid)).await?, "sleep 2000 ");
    let never = vm.wait_until("{ echo said; false; }", Duration::from_secs(1)).await;
    assert!(never.unwrap_err().to_string().contains("said"));
    Ok(())
}

async fn cards_are_named_in_order(vm: &Vm) -> Result<()> {
    assert_eq!(vm.run("cat /sys/class/net/eth0/address").await?.trim(), vm.mac(0));
    assert_eq!(vm.run("cat /sys/class/net/eth1/address").await?.trim(), vm.mac(1));
    vm.run("ip address add 192.0.2.2/24 dev eth1; ip link set eth1 up; ip -n peer address add 192.0.2.1/24 dev wire1")
        .await?;
    vm.wait_until("ping -c1 -W2 192.0.2.1", SHORT).await
}

async fn traffic_crosses_the_user_network(vm: &Vm) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let script = format!("exec 3<>/dev/tcp/10.0.2.2/{port}; echo from the guest >&3; cat <&3");
    let serve = async {
        let (mut stream, _) = listener.accept().await?;
        let mut line = String::new();
        BufReader::new(&mut stream).read_line(&mut line).await?;
        stream.write_all(b"from the test").await?;
        anyhow::Ok(line)
    };
    let (answer, asked) = tokio::join!(vm.run(&script), tokio::time::timeout(SHORT, serve));
    assert_eq!((answer?.as_str(), asked??.as_str()), ("from the test", "from the guest\n"));

    vm.start_daemon("busybox nc -l -p 7000 -e /bin/echo from inside", "/run/lab/nc.log").await?;
    vm.wait_until("ss -Hltn sport = :7000 | grep -q 7000", SHORT).await?;
    let address = vm.forwarded(7000).context("port 7000 is not forwarded")?;
    let mut heard = String::new();
    let mut stream = TcpStream::connect(address).await?;
    tokio::time::timeout(SHORT, stream.read_to_string(&mut heard)).await??;
    assert_eq!(heard, "from inside\n");
    Ok(())
}

async fn cable_can_be_pulled(vm: &Vm) -> Result<()> {
    vm.unplug(0).await?;
    vm.wait_until("grep -qx 0 /sys/class/net/eth0/carrier", SHORT).await?;
    vm.plug(0).await?;
    vm.wait_until("grep -qx 1 /sys/class/net/eth0/carrier", SHORT).await?;
    assert!(vm.unplug(9).await.is_err());
    Ok(())
}

async fn disk_survives_reboot_and_power_cut(vm: &mut Vm) -> Result<()> {
    let identity = "cat /etc/machine-id /sys/class/dmi/id/product_uuid";
    let (before, boot_id) = (vm.run(identity).await?, vm.run("cat /proc/sys/kernel/random/boot_id").await?);
    // Not synced: an orderly shutdown must write it. The root's overlay is forgotten.
    vm.run("echo kept >/var/lib/trestle/a; echo kept >/etc/libvirt/b; echo lost >/root/c").await?;
    let begun = Instant::now();
    vm.reboot().await?;
    took("reboot", begun);
    assert_eq!(vm.run("cat /var/lib/trestle/a /etc/libvirt/b; ls /root/c || echo lost").await?, "kept\nkept\nlost\n");
    assert_eq!(vm.run(identity).await?, before);
    assert_ne!(vm.run("cat /proc/sys/kernel/random/boot_id").await?, boot_id);

    vm.run("echo synced >/var/lib/trestle/d; sync /var/lib/trestle/d; echo not synced >/var/lib/trestle/e").await?;
    let begun = Instant::now();
    vm.power_cut().await?;
    assert!(vm.exec("true", SHORT).await.is_err());
    vm.boot().await?;
    took("power cut and boot", begun);
    assert_eq!(vm.read("/var/lib/trestle/d").await?, "synced\n");
    assert_ne!(vm.run("cat /var/lib/trestle/e 2>/dev/null || true").await?, "not synced\n");
    Ok(())
}

#[tokio::test]
async fn machines_and_test_share_a_segment() -> Result<()> {
    let Some(lab) = Lab::enter("segment").await? else { return Ok(()) };
    let segment = lab.segment("blue")?;
    let begun = Instant::now();
    let (a, b) = tokio::try_join!(
        lab.vm("host-a").nic(Nic::user()).nic(Nic::segment(&segment)).start(),
        lab.vm("host-b").nic(Nic::user()).nic(Nic::segment(&segment)).start(),
    )?;
    took("two machines at once", begun);
    let mut listener = segment.listen();
    a.run("ip address add 198.51.100.1/24 dev eth1; ip link set eth1 up").await?;
    b.run("ip address add 198.51.100.2/24 dev eth1; ip link set eth1 up").await?;
    a.wait_until("ping -c1 -W2 198.51.100.2", SHORT).await?;
    assert_eq!(a.run("hostname; cat /etc/hostname >/dev/null").await?, "host-a\n");

    let source = octets(&a.mac(1))?;
    assert!(listener.next(SHORT, |frame| frame[6..12] == source).await.is_some());
    listener.count(|_| true);

    let received = "cat /sys/class/net/eth1/statistics/rx_packets";
    let before: u64 = b.run(received).await?.trim().parse()?;
    let frame = test_frame(octets(&b.mac(1))?, [2, 0, 0, 0, 0, 9], None);
    for _ in 0..100 {
        segment.send(&frame);
    }
    b.wait_until(&format!("test $({received}) -ge {}", before + 100), SHORT).await?;
    assert_eq!(listener.count(|heard| heard == frame.as_slice()), 100);

    // A machine that boots again is on the segment again.
    let mut b = b;
    b.power_cut().await?;
    b.boot().await?;
    b.run("ip address add 198.51.100.2/24 dev eth1; ip link set eth1 up").await?;
    a.wait_until("ping -c1 -W2 198.51.100.2", SHORT).await
}

/// The bytes of a MAC in text form.
fn octets(mac: &str) -> Result<[u8; 6]> {
    let bytes = mac.split(':').map(|byte| u8::from_str_radix(byte, 16)).collect::<Result<Vec<u8>, _>>()?;
    Ok(<[u8; 6]>::try_from(bytes).expect("a MAC has six bytes"))
}

#[tokio::test]
async fn libvirt_manages_the_mac_table_of_a_real_bridge() -> Result<()> {
    if let Err(reason) = probe::libvirt() {
        return probe::skip("libvirt", &reason);
    }
    let Some(lab) = Lab::enter("libvirt").await? else { return Ok(()) };
    let mut vm = lab.vm("virt").nic(Nic::Wire).start().await?;
    println!("{:6.2} s  boot", vm.boot_time().as_secs_f64());
    let begun = Instant::now();
    vm.start_libvirt().await?;
    took("libvirtd answers", begun);

    vm.run("ip link add br0 type bridge; ip link set eth0 master br0; ip link set eth0 up; ip link set br0 up").await?;
    let network =
        "<network><name>managed</name><forward mode='bridge'/><bridge name='br0' macTableManager='libvirt'/></network>";
    vm.write("/run/lab/network.xml", network).await?;
    vm.virsh("net-define /run/lab/network.xml").await?;
    vm.virsh("net-start managed").await?;
    assert_eq!(vm.run("cat /sys/class/net/br0/bridge/vlan_filtering").await?, "1\n");

    let mac = "52:54:00:aa:bb:40";
    let guest = Guest { name: "g1".to_owned(), mac: mac.to_owned(), network: "managed".to_owned() };
    let begun = Instant::now();
    let tap = vm.start_guest(&guest).await?;
    took("first guest", begun);
    let flags = format!("cd /sys/class/net/{tap}/brport; cat learning unicast_flood");
    assert_eq!(vm.run(&flags).await?, "0\n0\n");
    vm.wait_until(&format!("bridge fdb show br br0 | grep -q '^{mac} dev {tap} .*static'"), SHORT).await?;

    let begun = Instant::now();
    vm.stop_guest("g1").await?;
    vm.start_guest(&guest).await?;
    took("second guest", begun);
    vm.stop_libvirtd().await?;
    vm.start_libvirtd().await?;
    assert!(vm.virsh("list --name").await?.contains("g1"), "a guest outlives libvirtd");

    let begun = Instant::now();
    vm.reboot().await?;
    took("reboot with a guest", begun);
    vm.start_libvirt().await?;
    assert!(vm.virsh("net-dumpxml managed").await?.contains("macTableManager='libvirt'"));
    assert!(!vm.virsh("list --all --name").await?.contains("g1"), "a transient guest does not outlive the host");
    Ok(())
}

#[tokio::test]
async fn namespaces_hold_links_and_a_private_libvirtd() -> Result<()> {
    for unmet in [probe::namespaces().await, probe::libvirt()] {
        if let Err(reason) = unmet {
            return probe::skip("namespaces", &reason);
        }
    }
    let begun = Instant::now();
    let here = Namespace::start().await?;
    let there = Namespace::start().await?;
    here.wire("lab-near", &there, "lab-far").await?;
    here.run(
        "ip address add 198.51.100.1/24 dev lab-near; ip link add lab-bridge type bridge; ip link set lab-bridge up",
    )
    .await?;
    there.run("ip address add 198.51.100.2/24 dev lab-far").await?;
    here.run("ping -c1 -W5 198.51.100.2").await?;
    assert_eq!(here.run("ls /sys/class/net | grep lab-").await?, "lab-bridge\nlab-near\n");
    assert!(!Path::new("/sys/class/net/lab-bridge").exists(), "the machine's own links are out of reach");
    assert_eq!(here.exec("sleep 1000", Duration::from_millis(200)).await?.status, Status::TimedOut);
    took("two namespaces and a wire", begun);

    let begun = Instant::now();
    let libvirtd = here.start_libvirtd().await?;
    took("private libvirtd", begun);
    let network = "<network><name>plain</name><forward mode='bridge'/><bridge name='lab-bridge'/></network>";
    here.run(&format!("echo \"{network}\" >/run/network.xml; virsh -q -c qemu:///system net-define /run/network.xml"))
        .await?;
    let from_outside = |words: &'static str| {
        let uri = libvirtd.uri();
        async move {
            let output = Command::new("virsh").args(["-q", "-c", &uri]).args(words.split(' ')).output().await?;
            ensure!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
            anyhow::Ok(String::from_utf8(output.stdout)?)
        }
    };
    from_outside("net-start plain").await?;
    assert!(from_outside("net-list --name").await?.contains("plain"));

    let pid = here.pid();
    here.stop().await?;
    wait_until_gone(pid).await
}

/// Waits until a process has ended.
async fn wait_until_gone(pid: u32) -> Result<()> {
    let script = format!("while [ -d /proc/{pid} ] && ! grep -q '^State:.Z' /proc/{pid}/status; do sleep 0.05; done");
    let waited = tokio::time::timeout(SHORT, Command::new("bash").args(["-c", &script]).status()).await;
    waited.with_context(|| format!("process {pid} is still there"))??;
    Ok(())
}

#[tokio::test]
async fn killed_test_leaves_no_machine_behind() -> Result<()> {
    let Some(lab) = Lab::enter("killed").await? else { return Ok(()) };
    let mut victim = Command::new(env!("CARGO_BIN_EXE_lab"))
        .arg("shell")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut said = BufReader::new(victim.stderr.take().context("no standard error")?).lines();
    let up = tokio::time::timeout(Duration::from_secs(120), said.next_line()).await??.context("it said nothing")?;
    let qemu: u32 = up.rsplit(' ').next().unwrap_or_default().parse().with_context(|| up.clone())?;
    assert!(Path::new(&format!("/proc/{qemu}")).exists());
    victim.kill().await?;
    wait_until_gone(qemu).await?;
    drop(lab);
    Ok(())
}
