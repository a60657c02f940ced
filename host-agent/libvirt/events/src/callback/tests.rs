use std::sync::mpsc::{TryRecvError, channel};

use super::*;

#[test]
fn each_is_told_under_its_own_number_until_it_is_dropped() {
    let (heard, first) = channel();
    let one = Listening::new(Box::new(move |notice| heard.send(notice).unwrap()));
    let (heard, second) = channel();
    let other = Listening::new(Box::new(move |notice| heard.send(notice).unwrap()));
    tell(one.opaque(), Notice::Domains);
    tell(other.opaque(), Notice::Networks);
    assert_eq!((first.try_recv(), second.try_recv()), (Ok(Notice::Domains), Ok(Notice::Networks)));

    let late = one.opaque();
    drop(one);
    let (heard, third) = channel();
    let _newcomer = Listening::new(Box::new(move |notice| heard.send(notice).unwrap()));
    tell(late, Notice::Domains);
    assert_eq!(first.try_recv(), Err(TryRecvError::Disconnected), "what it held is gone with it");
    assert_eq!((second.try_recv(), third.try_recv()), (Err(TryRecvError::Empty), Err(TryRecvError::Empty)));
}

#[test]
fn panic_ends_the_telling_of_one_and_goes_no_further() {
    let (heard, told) = channel();
    let failing = Listening::new(Box::new(move |notice| {
        heard.send(notice).unwrap();
        assert_ne!(notice, Notice::Closed, "a listener that fails");
    }));
    tell(failing.opaque(), Notice::Domains);
    closed(std::ptr::null_mut(), 0, failing.opaque());
    tell(failing.opaque(), Notice::Domains);
    assert_eq!(told.iter().collect::<Vec<_>>(), [Notice::Domains, Notice::Closed]);
}
