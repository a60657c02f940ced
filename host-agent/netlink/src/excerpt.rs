//! Excerpts: a link's message with those attributes alone that somebody looks at.
//!
//! The kernel tells some fifty attributes of a bridge; parsing all of them is more work than all else that is done with a
//! dump.

use netlink_packet_core::NlasIterator;

/// `RTM_NEWLINK` in `uapi/linux/rtnetlink.h`.
const NEW_LINK: [u8; 2] = 16_u16.to_ne_bytes();
/// Length of the netlink header and of the link's (`struct ifinfomsg`), which stand before the attributes.
const HEADERS: usize = 16 + 16;
/// What attributes end at (`NLA_ALIGNTO`).
const ALIGNMENT: usize = 4;

/// Returns a link's message with the `wanted` attributes alone, for which `room` is used; any other message, and one that is
/// not whole, as it is.
pub(crate) fn of_link<'a>(message: &'a [u8], wanted: &[u16], room: &'a mut Vec<u8>) -> &'a [u8] {
    let is_link = message.get(4..6).is_some_and(|kind| kind == NEW_LINK);
    if is_link && cut(message, wanted, room).is_some() { room } else { message }
}

fn cut(message: &[u8], wanted: &[u16], room: &mut Vec<u8>) -> Option<()> {
    let (headers, attributes) = message.split_at_checked(HEADERS)?;
    room.clear();
    room.extend_from_slice(headers);
    for attribute in NlasIterator::new(attributes) {
        let attribute = attribute.ok()?;
        if wanted.contains(&attribute.kind()) {
            let length = usize::from(attribute.length());
            room.extend_from_slice(attribute.into_inner().get(..length)?);
            room.resize(room.len().next_multiple_of(ALIGNMENT), 0);
        }
    }
    let length = u32::try_from(room.len()).ok()?.to_ne_bytes();
    room.get_mut(..length.len())?.copy_from_slice(&length);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message of a kind with attributes, each of its own length.
    fn message(kind: u16, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut message = vec![0; HEADERS];
        message[4..6].copy_from_slice(&kind.to_ne_bytes());
        message[HEADERS - 1] = 7;
        for (kind, value) in attributes {
            message.extend(u16::try_from(value.len() + 4).unwrap().to_ne_bytes());
            message.extend(kind.to_ne_bytes());
            message.extend(*value);
            message.resize(message.len().next_multiple_of(ALIGNMENT), 0);
        }
        let length = u32::try_from(message.len()).unwrap().to_ne_bytes();
        message[..4].copy_from_slice(&length);
        message
    }

    #[test]
    fn only_the_wanted_attributes_of_a_link_are_left() {
        let all = message(16, &[(1, b"abcdef"), (3, b"eth0\0"), (7, b"1234"), (26, b"x")]);
        let mut room = vec![9; 3];
        assert_eq!(of_link(&all, &[26, 3], &mut room), message(16, &[(3, b"eth0\0"), (26, b"x")]));
        assert_eq!(of_link(&all, &[], &mut room), message(16, &[]));
    }

    #[test]
    fn other_messages_and_broken_ones_are_left_as_they_are() {
        let done = message(3, &[(1, b"ab")]);
        let mut broken = message(16, &[(1, b"ab")]);
        broken[HEADERS] = 200;
        for whole in [done, broken, vec![1, 2, 3]] {
            assert_eq!(of_link(&whole, &[], &mut Vec::new()), whole);
        }
    }
}
