//! Messages of any kind, built by their descriptors from random bytes, with values that tend to be interesting.

use std::collections::HashMap;

use proptest::prelude::*;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};

const TEXTS: [&str; 31] = [
    "",
    "blue",
    "a-network-with-a-long-name",
    "eth0",
    "eth0.10",
    "rx-gro",
    "br/0",
    "-a",
    "..",
    "all",
    "192.0.2.10/24",
    "192.0.2.255/24",
    "192.0.2.1",
    "198.51.100.1",
    "0.0.0.0/0",
    "255.255.255.255/32",
    "2001:db8::2/64",
    "2001:db8::1",
    "fe80::1",
    "::/0",
    "52:54:00:12:34:56",
    "0190f3a2-7c11-7cc0-a3b7-6a1c0c5d9e4f",
    "NO_EFFECT_NOT_BRIDGED",
    "clusters/c",
    "networks/n/vnicProfiles/p",
    "hosts//networkAttachments/",
    "libvirt",
    "bridge",
    "spec.mtu",
    "é\u{0}\n\u{202e}",
    "*",
];
const NUMBERS: [u32; 14] = [0, 1, 7, 10, 67, 68, 1279, 1280, 1500, 4094, 4095, 65_535, 65_536, u32::MAX];
const SIGNED: [i32; 8] = [0, 1, 2, 3, 4, 99, -1, i32::MIN];

/// Random bytes to decide by; when they are used up, everything is absent.
pub(crate) fn dice() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..300)
}

/// Builds a message of the type with this full name.
pub(crate) fn any_message<M: prost::Message + Default>(full_name: &str, dice: &[u8]) -> M {
    let descriptor = crate::schema::message(full_name);
    message(&descriptor, &mut dice.iter().copied(), 6).transcode_to().unwrap()
}

fn message(descriptor: &MessageDescriptor, dice: &mut dyn Iterator<Item = u8>, depth: usize) -> DynamicMessage {
    let mut built = DynamicMessage::new(descriptor.clone());
    for field in descriptor.fields() {
        let roll = usize::from(dice.next().unwrap_or(0));
        if roll.is_multiple_of(3) || depth == 0 {
            continue;
        }
        let value = if let Kind::Message(entry) = field.kind()
            && field.is_map()
        {
            let key = TEXTS[roll % TEXTS.len()].to_owned();
            Value::Map(HashMap::from([(MapKey::String(key), single(&entry.map_entry_value_field(), dice, depth))]))
        } else if field.is_list() {
            Value::List((0..roll % 4).map(|_| single(&field, dice, depth)).collect())
        } else {
            single(&field, dice, depth)
        };
        built.set_field(&field, value);
    }
    built
}

fn single(field: &FieldDescriptor, dice: &mut dyn Iterator<Item = u8>, depth: usize) -> Value {
    if let Kind::Message(inner) = field.kind() {
        return Value::Message(message(&inner, dice, depth - 1));
    }
    let roll = usize::from(dice.next().unwrap_or(0));
    let signed = SIGNED[roll % SIGNED.len()];
    let number = NUMBERS[roll % NUMBERS.len()];
    match field.kind() {
        Kind::String if roll == 255 => Value::String("x".repeat(5000)),
        Kind::String => Value::String(TEXTS[roll % TEXTS.len()].to_owned()),
        Kind::Bytes => Value::Bytes(vec![0; roll].into()),
        Kind::Bool => Value::Bool(roll.is_multiple_of(2)),
        Kind::Enum(_) => Value::EnumNumber(signed),
        Kind::Int32 => Value::I32(signed),
        Kind::Int64 => Value::I64(i64::from(signed) * 1_000_000_007),
        Kind::Uint32 => Value::U32(number),
        Kind::Uint64 => Value::U64(u64::from(number)),
        Kind::Message(_)
        | Kind::Double
        | Kind::Float
        | Kind::Sint32
        | Kind::Sint64
        | Kind::Fixed32
        | Kind::Fixed64
        | Kind::Sfixed32
        | Kind::Sfixed64 => panic!("no sample for {field:?}"),
    }
}
