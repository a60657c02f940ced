//! The wire's descriptors: the one schema of files, of requests and of JSON output.

use std::sync::LazyLock;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(trestle_proto::FILE_DESCRIPTOR_SET)
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
