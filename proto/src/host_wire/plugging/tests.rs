//! What a request for interfaces is read as, and what is refused of it.

use trestle_model::Bandwidth;

use super::*;

fn wanted(mac: &str) -> wire::WantedInterface {
    wire::WantedInterface { mac: mac.to_owned(), network: "blue".to_owned(), ..wire::WantedInterface::default() }
}

fn request(set: Vec<wire::WantedInterface>) -> wire::SetDomainInterfacesRequest {
    wire::SetDomainInterfacesRequest { domain: "web".to_owned(), set, ..wire::SetDomainInterfacesRequest::default() }
}

fn refused(request: &wire::SetDomainInterfacesRequest) -> Vec<(Code, String)> {
    parse_plug(request).unwrap_err().0.into_iter().map(|finding| (finding.code, finding.field)).collect()
}

#[test]
fn what_is_not_given_has_its_default() {
    let read = parse_plug(&request(vec![wanted("52:54:00:00:00:01")])).unwrap();
    let expected = WantedInterface {
        mac: "52:54:00:00:00:01".parse().unwrap(),
        network: "blue".to_owned(),
        model: "virtio".to_owned(),
        mtu: None,
        linked: true,
        isolated: false,
        bandwidth: Bandwidth::default(),
        filter: None,
    };
    assert_eq!((read.set, read.replug, read.validate_only), (vec![expected], Replug::Refuse, false));
    assert_eq!(read.domain, DomainKey::Name("web".to_owned()));
}

#[test]
fn a_uuid_is_a_domain_s_uuid() {
    let uuid = "0190f3a2-7c11-7cc0-a3b7-6a1c0c5d9e4f";
    let asked = wire::SetDomainInterfacesRequest {
        domain: uuid.to_owned(),
        remove: vec!["52:54:00:00:00:01".to_owned()],
        ..wire::SetDomainInterfacesRequest::default()
    };
    assert_eq!(parse_plug(&asked).unwrap().domain, DomainKey::Uuid(uuid.parse().unwrap()));
    let bare = uuid.replace('-', "");
    let asked = wire::SetDomainInterfacesRequest { domain: bare.clone(), ..asked };
    assert_eq!(parse_plug(&asked).unwrap().domain, DomainKey::Name(bare), "a name, as libvirt takes it");
}

#[test]
fn limits_have_an_average_and_nothing_below_it() {
    let limited = |inbound| wire::WantedInterface {
        bandwidth: Some(wire::Bandwidth { inbound: Some(inbound), outbound: None }),
        ..wanted("52:54:00:00:00:01")
    };
    let rate = |average, peak, burst| wire::BandwidthRate { average, peak, burst };
    let read = parse_plug(&request(vec![limited(rate(1000, Some(1000), Some(1)))])).unwrap();
    assert_eq!(read.set[0].bandwidth.inbound.unwrap().to_string(), "1000,1000,1");
    for (bad, field) in
        [(rate(0, None, None), "average"), (rate(1000, Some(999), None), "peak"), (rate(1000, None, Some(0)), "burst")]
    {
        let field = format!("set[0].bandwidth.inbound.{field}");
        assert_eq!(refused(&request(vec![limited(bad)])), [(Code::QosInvalid, field)]);
    }
}

#[test]
fn every_violation_is_noted_with_its_field() {
    let filter = wire::FilterReference {
        name: String::new(),
        parameters: vec![wire::FilterParameter { name: "IP".to_owned(), value: "a\u{1}".to_owned() }],
    };
    let odd = wire::WantedInterface {
        mac: "01:00:5e:00:00:01".to_owned(),
        model: "<model/>".to_owned(),
        mtu: Some(67),
        filter: Some(filter),
        ..wire::WantedInterface::default()
    };
    let asked = wire::SetDomainInterfacesRequest {
        set: vec![wanted("52:54:00:00:00:01"), wanted("52:54:00:00:00:01"), odd],
        remove: vec!["52:54:00:00:00:01".to_owned(), String::new(), "00:00:00:00:00:00".to_owned()],
        replug: 77,
        ..wire::SetDomainInterfacesRequest::default()
    };
    let expected = [
        (Code::FieldMissing, "domain"),
        (Code::FieldMissing, "remove[1]"),
        (Code::MacInvalid, "remove[2]"),
        (Code::EnumUnknown, "replug"),
        (Code::Duplicate, "set[0].mac"),
        (Code::Duplicate, "set[1].mac"),
        (Code::FieldMissing, "set[2].filter.name"),
        (Code::NameInvalid, "set[2].filter.parameters[0].value"),
        (Code::MacInvalid, "set[2].mac"),
        (Code::NameInvalid, "set[2].model"),
        (Code::MtuOutOfRange, "set[2].mtu"),
        (Code::FieldMissing, "set[2].network"),
    ];
    assert_eq!(refused(&asked), expected.map(|(code, field)| (code, field.to_owned())));
}

#[test]
fn a_request_has_its_limits() {
    assert_eq!(refused(&request(Vec::new())), [(Code::FieldMissing, "set".to_owned())]);
    let many = (0..65).map(|number| wanted(&format!("52:54:00:00:00:{number:02x}"))).collect();
    assert_eq!(refused(&request(many)), [(Code::TooLong, "set".to_owned())]);
    let long = wire::WantedInterface { network: "n".repeat(257), ..wanted("52:54:00:00:00:01") };
    assert_eq!(refused(&request(vec![long])), [(Code::NameInvalid, "set[0].network".to_owned())]);
    let parameter = wire::FilterParameter { name: "IP".to_owned(), value: "192.0.2.1".to_owned() };
    let filter = wire::FilterReference { name: "f".to_owned(), parameters: vec![parameter; 65] };
    let filtered = wire::WantedInterface { filter: Some(filter), ..wanted("52:54:00:00:00:01") };
    assert_eq!(refused(&request(vec![filtered])), [(Code::TooLong, "set[0].filter.parameters".to_owned())]);
}
