//! The wire's descriptors: the one schema of files, of requests and of JSON.

use std::sync::LazyLock;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(crate::FILE_DESCRIPTOR_SET)
        .expect("the descriptor set is compiled in, and made by the compiler of the generated code")
});

/// Returns the descriptor of a message by its full name, e.g. `trestle.host.v1.Network`.
///
/// *Panics*: for a name that is not on the wire, a bug of the caller that any use shows.
#[must_use]
pub fn message(name: &str) -> MessageDescriptor {
    POOL.get_message_by_name(name).expect("only names of the wire's own messages are asked for")
}

/// Views a generated message as a dynamic one, for ProtoJSON.
///
/// *Panics*: as [`message`].
#[must_use]
pub fn dynamic<M: Message>(name: &str, of: &M) -> DynamicMessage {
    let mut dynamic = DynamicMessage::new(message(name));
    dynamic.transcode_from(of).expect("the generated code and the descriptors come from the same files");
    dynamic
}

/// Views a dynamic message as a generated one.
///
/// *Panics*: when `M` is not generated from the message's own definition, a bug of the caller.
#[must_use]
pub fn typed<M: Message + Default>(of: &DynamicMessage) -> M {
    of.transcode_to().expect("the generated code and the descriptors come from the same files")
}

/// Writes a generated message of the given name as ProtoJSON, on one line.
///
/// *Panics*: as [`message`].
#[must_use]
pub fn to_json<M: Message>(name: &str, of: &M) -> String {
    serde_json::to_string(&dynamic(name, of)).expect("a message is a JSON object, and memory takes every byte")
}

/// Reads a message of the given name from ProtoJSON; an unknown field is an error.
///
/// *Errors*: the text is no JSON, or no message of that name. *Panics*: as [`message`] and [`typed`].
pub fn from_json<M: Message + Default>(name: &str, text: &str) -> Result<M, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let dynamic = DynamicMessage::deserialize(message(name), &mut reader)?;
    reader.end()?;
    Ok(typed(&dynamic))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::v1::Network;

    const NETWORK: &str = "trestle.host.v1.Network";

    #[test]
    fn json_reads_back_and_nothing_unknown_is_taken() {
        let network = Network { name: "blue".to_owned(), vlan_id: Some(0), ..Network::default() };
        let text = to_json(NETWORK, &network);
        assert_eq!(text, r#"{"name":"blue","vlanId":0}"#);
        assert_eq!(from_json::<Network>(NETWORK, &text).unwrap(), network);
        for bad in ["", "[]", r#"{"name":"blue"} {}"#, r#"{"nmae":"blue"}"#, r#"{"vlanId":"x"}"#] {
            assert!(from_json::<Network>(NETWORK, bad).is_err(), "{bad}");
        }
    }
}
