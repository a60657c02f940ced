//! Against libvirt's in-process test driver: what is told, and that nothing is told after the end.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, also in its helpers")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use trestle_libvirt_events::{Notice, Subscription, start_loop};
use virt::connect::Connect;
use virt::domain::Domain;
use virt::network::Network;

const LONG: Duration = Duration::from_secs(30);

/// All connections of this name are to one libvirt.
fn connect() -> Connect {
    start_loop().unwrap();
    virt::error::clear_error_callback();
    Connect::open(Some("test:///default")).unwrap()
}

fn network(connect: &Connect, name: &str) -> Network {
    Network::define_xml(connect, &format!("<network><name>{name}</name><bridge name='{name}'/></network>")).unwrap()
}

fn domain(connect: &Connect, name: &str) -> Domain {
    let xml = format!("<domain type='test'><name>{name}</name><memory>1024</memory><os><type>hvm</type></os></domain>");
    Domain::define_xml(connect, &xml).unwrap()
}

/// Waits for a notice; others tests' changes are told, too.
fn wait_for(told: &Receiver<Notice>, notice: Notice) {
    while told.recv_timeout(LONG).expect("it is told") != notice {}
}

#[test]
fn domains_and_networks_are_told() {
    let mut connect = connect();
    let (heard, told) = channel();
    let subscription = Subscription::new(&connect, move |notice| heard.send(notice).unwrap()).unwrap();
    let network = network(&connect, "told");
    wait_for(&told, Notice::Networks);
    let domain = domain(&connect, "told");
    wait_for(&told, Notice::Domains);
    network.undefine().unwrap();
    domain.undefine().unwrap();
    drop((network, domain, subscription));
    while told.try_recv().is_ok() {}
    assert!(told.recv().is_err(), "the listener went with the subscription");
    // libvirt gives up its own references when no call is under way any more.
    let references = || connect.clone().close().unwrap();
    let pause = Duration::from_millis(1);
    let tries = LONG.as_millis() / pause.as_millis();
    let are_gone = (0..tries).any(|_| {
        thread::park_timeout(pause);
        references() == 1
    });
    assert!(are_gone, "{} references are left", references());
    assert_eq!(connect.close(), Ok(0));
}

#[test]
fn nobody_is_told_after_the_end_whatever_goes_on() {
    let (is_done, heard, heard_late) =
        (Arc::<AtomicBool>::default(), Arc::<AtomicU32>::default(), Arc::<AtomicU32>::default());
    let meddler = {
        let is_done = Arc::clone(&is_done);
        thread::spawn(move || {
            let mut connect = connect();
            for round in 0..1000 {
                if round % 2 == 0 {
                    network(&connect, "meddled").undefine().unwrap();
                } else {
                    domain(&connect, "meddled").undefine().unwrap();
                }
            }
            is_done.store(true, Ordering::SeqCst);
            connect.close().unwrap();
        })
    };
    let mut connect = connect();
    let mut subscriptions = 0;
    while !is_done.load(Ordering::SeqCst) {
        let has_ended = Arc::<AtomicBool>::default();
        let (ended, heard, late) = (Arc::clone(&has_ended), Arc::clone(&heard), Arc::clone(&heard_late));
        let subscription = Subscription::new(&connect, move |_| {
            heard.fetch_add(1, Ordering::SeqCst);
            late.fetch_add(u32::from(ended.load(Ordering::SeqCst)), Ordering::SeqCst);
        })
        .unwrap();
        subscriptions += 1;
        // Some end at once, others amid what is told.
        if subscriptions % 2 == 0 {
            thread::park_timeout(Duration::from_millis(1));
        }
        drop(subscription);
        has_ended.store(true, Ordering::SeqCst);
    }
    meddler.join().unwrap();
    connect.close().unwrap();
    eprintln!("{} notices over {subscriptions} subscriptions", heard_of(&heard));
    assert!(heard_of(&heard) > 0 && subscriptions > 10, "{} {subscriptions}", heard_of(&heard));
    assert_eq!(heard_of(&heard_late), 0, "told after the end");
}

fn heard_of(count: &AtomicU32) -> u32 {
    count.load(Ordering::SeqCst)
}
