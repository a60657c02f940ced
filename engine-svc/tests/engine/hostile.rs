//! Messages that no honest client sends, to every method.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use prost::Message as _;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};
use tonic::Code;
use trestle_proto::engine::v1 as wire;
use trestle_proto::session::v1::agent_message::Kind as AgentKind;
use trestle_proto::session::v1::{AgentMessage, Hello};

use super::harness::{Agent, PATIENCE, Running};
use super::raw::{self, Ends, Method};

const CONNECT: &str = "/trestle.session.v1.AgentSession/Connect";
/// How long a stream that does not end is listened to.
const MOMENT: Duration = Duration::from_millis(300);
const TEXTS: [&str; 33] = [
    "",
    "lab",
    "blue",
    "host-a",
    "clusters/lab",
    "networks/blue",
    "hosts/host-a",
    "networks/blue/vnicProfiles/p",
    "clusters/lab/clusterNetworks/blue",
    "hosts/host-a/networkAttachments/blue",
    "hosts/host-a/bonds/bond0",
    "macPools/lab",
    "vms/0190f3a2-7c11-7cc0-a3b7-6a1c0c5d9e4f",
    "vms/0190f3a2-7c11-7cc0-a3b7-6a1c0c5d9e4f/vnics/eth0",
    "stockFilters/clean-traffic",
    "events/1",
    "hosts/host-a/operations/0190f3a2-7c11-7cc0-a3b7-6a1c0c5d9e4f",
    "52:54:00:12:34:56",
    "01:00:5e:00:00:01",
    "hosts//",
    "a/b",
    "*",
    "spec",
    "labels",
    "spec.mtu",
    "status",
    "0190f3a2-7c11-7cc0-a3b7-6a1c0c5d9e4f",
    "192.0.2.1/24",
    "eth0",
    "..",
    "é\u{0}\u{202e}",
    "NO_EFFECT_NOT_BRIDGED",
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
];

/// SplitMix64: a seed makes the same messages every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % u64::try_from(sides).unwrap()).unwrap()
    }

    fn message(&mut self, of: &MessageDescriptor, depth: usize) -> DynamicMessage {
        let mut message = DynamicMessage::new(of.clone());
        for field in of.fields() {
            if self.roll(4) == 0 || depth == 0 {
                continue;
            }
            let value = if let Kind::Message(entry) = field.kind()
                && field.is_map()
            {
                let of = entry.map_entry_value_field();
                let entries = (0..self.roll(3)).map(|_| (MapKey::String(self.text()), self.value(&of, depth)));
                Value::Map(entries.collect::<HashMap<_, _>>())
            } else if field.is_list() {
                Value::List((0..self.roll(3)).map(|_| self.value(&field, depth)).collect())
            } else {
                self.value(&field, depth)
            };
            message.set_field(&field, value);
        }
        message
    }

    fn value(&mut self, field: &FieldDescriptor, depth: usize) -> Value {
        let number = [0, 1, 2, 3, 10, 1500, 4095, i32::MAX, -1, i32::MIN][self.roll(10)];
        let kind = field.kind();
        if let Kind::Message(inner) = &kind {
            return Value::Message(self.message(inner, depth - 1));
        }
        if let Kind::Enum(_) = kind {
            return Value::EnumNumber(number);
        }
        match Value::default_value(&kind) {
            Value::Bool(_) => Value::Bool(number == 1),
            Value::I32(_) => Value::I32(number),
            Value::I64(_) => Value::I64(i64::from(number) << 32),
            Value::U32(_) => Value::U32(number.cast_unsigned()),
            Value::U64(_) => Value::U64(u64::from(number.cast_unsigned()) << 32),
            Value::String(_) => Value::String(self.text_for(field.name())),
            Value::Bytes(_) => Value::Bytes(vec![7; self.roll(99)].into()),
            other @ (Value::F32(_)
            | Value::F64(_)
            | Value::EnumNumber(_)
            | Value::Message(_)
            | Value::List(_)
            | Value::Map(_)) => panic!("no such value is on the wire: {other:?}"),
        }
    }

    /// Mostly fits, so that what lies behind the first check is reached too.
    fn text_for(&mut self, field: &str) -> String {
        let fitting = match field {
            "request_id" | "page_token" | "etag" | "bridge_name" => "",
            "acknowledge_warnings" => "NO_EFFECT_NOT_BRIDGED",
            "filter" => [
                "",
                "name = *a OR NOT (labels:rack AND spec:*)",
                "spec.description:x AND create_time < 2026-01-01T00:00:00Z",
                "status:*",
            ][self.roll(4)],
            "paths" => ["spec", "labels", "spec.description"][self.roll(3)],
            "cluster" => "clusters/lab",
            "mac_pool" => "macPools/lab",
            "first" | "mac" | "extra_macs" => "52:54:00:12:34:56",
            "last" => "52:54:00:12:34:ff",
            "vm_id" => "0190f3a2-7c11-7cc0-a3b7-6a1c0c5d9e4f",
            "profile" | "failover" => "networks/blue/vnicProfiles/p",
            field if field.ends_with("_id") => "blue",
            _ => return self.text(),
        };
        if self.roll(5) == 0 { self.text() } else { fitting.to_owned() }
    }

    fn text(&mut self) -> String {
        if self.roll(40) == 0 { "x".repeat(5000) } else { TEXTS[self.roll(TEXTS.len())].to_owned() }
    }
}

/// Calls a method, and returns how it ended: every call is answered, and only a stream that lasts as long as its client
/// may be open still after a moment, which is `Ok`.
async fn outcome(engine: &Running, method: &Method, messages: Vec<Vec<u8>>) -> Code {
    let called = raw::call(engine.connection.clone(), &method.path, messages);
    let called = tokio::time::timeout(PATIENCE, called).await;
    let called = called.unwrap_or_else(|_| panic!("{} is not answered", method.path));
    let heard = async {
        let mut answers = called?;
        while answers.message().await?.is_some() {}
        Ok::<_, tonic::Status>(())
    };
    let ended = match method.ends {
        Ends::ByItself => {
            let ended = tokio::time::timeout(PATIENCE, heard).await;
            ended.unwrap_or_else(|_| panic!("{} never ends", method.path))
        }
        Ends::WithTheClient => tokio::time::timeout(MOMENT, heard).await.unwrap_or(Ok(())),
    };
    let code = ended.map_or_else(|status| status.code(), |()| Code::Ok);
    assert!(!matches!(code, Code::Internal | Code::Unknown | Code::DataLoss), "{}: {code:?}", method.path);
    code
}

async fn assert_alive(engine: &Running) {
    let request = wire::ListClustersRequest::default();
    let listed = tokio::time::timeout(PATIENCE, engine.clusters().list_clusters(request)).await;
    listed.expect("engine does not answer").unwrap();
}

#[tokio::test]
async fn an_empty_message_is_nowhere_an_internal_error() {
    let engine = Running::start().await;
    let mut ended = BTreeMap::new();
    for method in raw::methods() {
        let code = outcome(&engine, &method, vec![Vec::new()]).await;
        ended.insert(method.path.rsplit('/').next().unwrap().to_owned(), code);
    }
    assert_eq!(ended.len(), 65, "{ended:?}");
    for (method, code) in &ended {
        // Placements are of something, which has to be named.
        let reads_all = method != "ListPlacements" && (method.starts_with("List") || method.starts_with("Watch"));
        assert_eq!(*code, if reads_all { Code::Ok } else { Code::InvalidArgument }, "{method}");
    }
    assert_alive(&engine).await;
}

#[tokio::test]
async fn random_messages_are_nowhere_an_internal_error() {
    let engine = Running::start().await;
    engine.furnish("host-a", "blue", wire::NetworkSpec::default()).await;
    let mut codes = BTreeMap::<String, usize>::new();
    for seed in 0..60 {
        for method in raw::methods().iter().filter(|method| method.path != CONNECT) {
            let message = Dice(seed).message(&method.input, 6).encode_to_vec();
            if method.ends == Ends::WithTheClient && seed > 3 {
                continue;
            }
            let code = outcome(&engine, method, vec![message]).await;
            *codes.entry(format!("{code:?}")).or_default() += 1;
        }
    }
    assert!(codes.len() > 3, "seeds 0 to 59 ended as {codes:?}");
    assert_alive(&engine).await;
}

#[tokio::test]
async fn random_messages_of_an_agent_are_nowhere_an_internal_error() {
    let engine = Running::start().await;
    engine.furnish("host-a", "blue", wire::NetworkSpec::default()).await;
    let connect = raw::methods().into_iter().find(|method| method.path == CONNECT).unwrap();
    let hello = Hello { host: "host-a".to_owned(), protocol: 1, ..Default::default() };
    let hello = AgentMessage { trace: None, kind: Some(AgentKind::Hello(hello)) }.encode_to_vec();
    for seed in 0..40 {
        let mut dice = Dice(seed);
        let mut messages =
            vec![if seed % 4 == 0 { dice.message(&connect.input, 8).encode_to_vec() } else { hello.clone() }];
        messages.extend((0..30).map(|_| dice.message(&connect.input, 8).encode_to_vec()));
        outcome(&engine, &connect, messages).await;
    }
    assert_alive(&engine).await;
    let mut agent = Agent::dial(&engine, "host-a", None).await.unwrap();
    agent.hear().await.unwrap();
}
