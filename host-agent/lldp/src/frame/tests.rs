use proptest::prelude::*;

use super::*;

/// Puts a part together.
fn part(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap();
    let header = u16::from(kind) << 9 | length;
    [&header.to_be_bytes()[..], value].concat()
}

/// The three parts that begin each frame: a MAC, an interface's name, two minutes.
fn beginning() -> Vec<u8> {
    [part(1, b"\x04\x02\x00\x00\x00\x00\x01"), part(2, b"\x05swp7"), part(3, &120_u16.to_be_bytes())].concat()
}

fn id(kind: LldpIdKind, value: &str) -> LldpId {
    LldpId { kind, value: value.to_owned() }
}

fn neighbor(frame: Result<Frame, Malformed>) -> LldpNeighbor {
    match frame {
        Ok(Frame::Here(neighbor, _)) => *neighbor,
        other => panic!("{other:?}"),
    }
}

#[test]
fn reads_all_that_a_switch_tells() {
    let frame = [
        beginning(),
        part(4, b"rack 4, left"),
        part(5, b"leaf-4"),
        part(6, b"a switch\nof two lines"),
        part(7, b"\x00\x14\x00\x04"),
        part(8, b"\x05\x01\xc0\x00\x02\x07\x02\x00\x00\x00\x01\x00"),
        part(8, b"\x11\x02\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07\x02\x00\x00\x00\x01\x00"),
        part(127, b"\x00\x80\xc2\x01\x00\x64"),
        part(127, b"\x00\x80\xc2\x03\x00\xc8\x05green"),
        part(127, b"\x00\x12\x0f\x04\x24\x00"),
        part(127, b"\x00\xaa\xbb\x01whatever"),
        part(0, b""),
        vec![0; 20],
    ];
    let vlan = |id: u32| VlanId::try_from(id).unwrap();
    let text = |text: &str| Some(text.to_owned());
    let expected = LldpNeighbor {
        chassis: id(LldpIdKind::MacAddress, "02:00:00:00:00:01"),
        port: id(LldpIdKind::InterfaceName, "swp7"),
        port_description: text("rack 4, left"),
        system_name: text("leaf-4"),
        system_description: text("a switch of two lines"),
        capabilities: [LldpCapability::Bridge, LldpCapability::Router].into(),
        enabled_capabilities: [LldpCapability::Bridge].into(),
        management_addresses: vec!["192.0.2.7".parse().unwrap(), "2001:db8::7".parse().unwrap()],
        port_vlan: Some(vlan(100)),
        vlans: [(vlan(200), "green".to_owned())].into(),
        max_frame_size: Some(9216),
    };
    assert_eq!(parse(&frame.concat()), Ok(Frame::Here(Box::new(expected), Duration::from_secs(120))));
}

#[test]
fn reads_every_kind_of_identity() {
    let ids = |chassis: &[u8], port: &[u8]| {
        let frame = [part(1, chassis), part(2, port), part(3, b"\x00\x78")].concat();
        let neighbor = neighbor(parse(&frame));
        (neighbor.chassis, neighbor.port)
    };
    let cases: [(&[u8], &[u8], LldpId, LldpId); 4] = [
        (b"\x01slot", b"\x01up", id(LldpIdKind::ChassisComponent, "slot"), id(LldpIdKind::InterfaceAlias, "up")),
        (
            b"\x05\x01\xc0\x00\x02\x01",
            b"\x03\x02\x00\x00\x00\x00\x09",
            id(LldpIdKind::NetworkAddress, "192.0.2.1"),
            id(LldpIdKind::MacAddress, "02:00:00:00:00:09"),
        ),
        // No MAC and no text: told as it is.
        (
            b"\x04\x02\xff",
            b"\x06\xfe\xfd",
            id(LldpIdKind::MacAddress, "02:ff"),
            id(LldpIdKind::AgentCircuitId, "fe:fd"),
        ),
        (b"\x07\x1b[2Jx", b"\x02p", id(LldpIdKind::Local, " [2Jx"), id(LldpIdKind::PortComponent, "p")),
    ];
    for (chassis, port, expected_chassis, expected_port) in cases {
        assert_eq!(ids(chassis, port), (expected_chassis, expected_port));
    }
}

#[test]
fn a_neighbour_that_goes_says_so() {
    let frame = [part(1, b"\x07a"), part(2, b"\x07b"), part(3, b"\x00\x00"), part(5, b"whatever")].concat();
    assert_eq!(parse(&frame), Ok(Frame::Gone(id(LldpIdKind::Local, "a"), id(LldpIdKind::Local, "b"))));
}

#[test]
fn refuses_what_is_no_frame() {
    let cases: [(Vec<u8>, Malformed); 8] = [
        (vec![], Malformed::Beginning),
        (part(2, b"\x05swp7"), Malformed::Beginning),
        (part(0, b""), Malformed::Beginning),
        (vec![0x02], Malformed::Cut),
        ([beginning(), vec![0x0b, 0xff, 0x41]].concat(), Malformed::Cut),
        ([beginning(), part(1, b"\x07again")].concat(), Malformed::Again),
        ([part(1, b"\x09x"), part(2, b"\x07b"), part(3, b"\0\x78")].concat(), Malformed::Mandatory("chassis")),
        ([part(1, b"\x07a"), part(2, b"\x07b"), part(3, b"\x78")].concat(), Malformed::Mandatory("time to live")),
    ];
    for (frame, expected) in cases {
        assert_eq!(parse(&frame), Err(expected), "{frame:02x?}");
    }
}

#[test]
fn leaves_out_later_parts_that_make_no_sense() {
    let senseless = [
        part(7, b"\x00"),
        part(8, b"\xff\x01"),
        part(8, b""),
        part(127, b"\x00\x80\xc2"),
        part(127, b"\x00\x80\xc2\x01\x00\x00"),
        part(127, b"\x00\x80\xc2\x03\x0f\xff\x05green"),
        part(127, b"\x00\x80\xc2\x03\x00\x01\x09green"),
        part(5, b"\xff\xfe"),
    ];
    let plain = neighbor(parse(&beginning()));
    assert_eq!(neighbor(parse(&[beginning(), senseless.concat()].concat())), plain);
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _any = parse(&bytes);
        let _behind_a_beginning = parse(&[beginning(), bytes].concat());
    }
}
