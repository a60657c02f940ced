//! Pages of a list: how many, from where on, and the token between them.
//!
//! *Source*: AIP-158. A token is opaque to clients: hexadecimal of a checksum and the last name of the page before. The
//! checksum covers the query too, so that a token fits only the list that it came from. It is no secret.

use trestle_model::{Code, Finding, Findings};

/// A page that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Largest number of resources, 1 to 1000.
    pub size: usize,
    /// The last name of the page before; `None` at the start.
    pub after: Option<String>,
}

const DEFAULT_SIZE: usize = 50;
const LARGEST_SIZE: usize = 1000;
/// Digits of the checksum.
const CHECKSUM: usize = 16;
/// More digits than any token of ours has.
const LONGEST_TOKEN: usize = 4096;

impl Page {
    /// Reads a list request's `page_size` and `page_token`; `query` names the list, such as `hosts/h1/networkAttachments`.
    ///
    /// *Errors*: `PAGE_INVALID` for a negative size, and for a token that is not one of this query.
    pub fn parse(page_size: i32, page_token: &str, query: &str) -> Result<Self, Findings> {
        let mut findings = Vec::new();
        let size = match usize::try_from(page_size) {
            Ok(0) => DEFAULT_SIZE,
            Ok(size) => size.min(LARGEST_SIZE),
            Err(_) => {
                let finding =
                    Finding::error(Code::PageInvalid, "page_size", format!("page size {page_size} is negative"));
                findings.push(finding.remedy("give 1 to 1000, or 0 for 50"));
                DEFAULT_SIZE
            }
        };
        let after = match page_token {
            "" => None,
            token => last_of(query, token).or_else(|| {
                let finding = Finding::error(Code::PageInvalid, "page_token", "the page token is not one of this list");
                findings.push(finding.remedy("give next_page_token of this list's last answer, or start without one"));
                None
            }),
        };
        if findings.is_empty() { Ok(Self { size, after }) } else { Err(Findings(findings)) }
    }

    /// Takes this page's part of `rest`, which begins where the page before ended, and the next page's token; it is
    /// empty at the end.
    pub fn cut<T>(
        &self,
        query: &str,
        rest: impl IntoIterator<Item = T>,
        name: impl Fn(&T) -> String,
    ) -> (Vec<T>, String) {
        let mut rest = rest.into_iter();
        let taken: Vec<T> = rest.by_ref().take(self.size).collect();
        let token = match (taken.last(), rest.next()) {
            (Some(last), Some(_)) => next_token(query, &name(last)),
            _ => String::new(),
        };
        (taken, token)
    }
}

/// Builds the token with which the list of `query` goes on after `last`.
pub fn next_token(query: &str, last: &str) -> String {
    use std::fmt::Write as _;

    let mut token = format!("{:016x}", checksum(query, last));
    for byte in last.bytes() {
        write!(token, "{byte:02x}").expect("a string takes all that is written to it");
    }
    token
}

fn last_of(query: &str, token: &str) -> Option<String> {
    if token.len() > LONGEST_TOKEN || !token.is_ascii() {
        return None;
    }
    let (sum, digits) = token.split_at_checked(CHECKSUM)?;
    let bytes = digits
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect::<Option<Vec<u8>>>()?;
    let last = String::from_utf8(bytes).ok()?;
    // Comparing the whole token refuses every other spelling of the same bytes, too.
    (u64::from_str_radix(sum, 16) == Ok(checksum(query, &last)) && next_token(query, &last) == token).then_some(last)
}

/// FNV-1a, 64 bits, over the query, a zero and the name.
fn checksum(query: &str, last: &str) -> u64 {
    let bytes = query.bytes().chain([0]).chain(last.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn codes(result: Result<Page, Findings>) -> Vec<(Code, String)> {
        result.unwrap_err().0.into_iter().map(|f| (f.code, f.field)).collect()
    }

    #[test]
    fn a_size_is_defaulted_and_capped() {
        for (asked, size) in [(0, 50), (1, 1), (1000, 1000), (1001, 1000), (i32::MAX, 1000)] {
            assert_eq!(Page::parse(asked, "", "hosts").unwrap(), Page { size, after: None });
        }
    }

    #[test]
    fn a_negative_size_and_a_foreign_token_are_refused_together() {
        let token = next_token("networks", "networks/blue");
        assert_eq!(
            codes(Page::parse(-1, &token, "hosts")),
            [(Code::PageInvalid, "page_size".to_owned()), (Code::PageInvalid, "page_token".to_owned())]
        );
    }

    #[test]
    fn a_changed_token_is_refused() {
        let token = next_token("hosts", "hosts/h1");
        for position in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[position] = if changed[position] == b'0' { b'1' } else { b'0' };
            assert!(Page::parse(0, &String::from_utf8(changed).unwrap(), "hosts").is_err());
        }
        for bad in ["0", "zz", &token[..20], &token[..token.len() - 1], &token.to_uppercase(), "é".repeat(9).as_str()]
        {
            assert!(Page::parse(0, bad, "hosts").is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn pages_cover_a_list_once_and_in_order() {
        let names: Vec<String> = (0..107).map(|n| format!("hosts/h{n:03}")).collect();
        let (mut seen, mut token) = (Vec::new(), String::new());
        loop {
            let page = Page::parse(25, &token, "hosts").unwrap();
            let rest = names.iter().skip_while(|name| page.after.as_ref().is_some_and(|after| *name <= after));
            let (part, next) = page.cut("hosts", rest, |name| (*name).clone());
            assert!(part.len() <= 25);
            seen.extend(part);
            token = next;
            if token.is_empty() {
                break;
            }
        }
        assert!(seen.into_iter().eq(names.iter()));
    }

    proptest! {
        #[test]
        fn a_token_reads_back_for_its_own_query_only(query in ".{0,40}", other in ".{0,40}", last in ".{0,80}") {
            let token = next_token(&query, &last);
            prop_assert_eq!(Page::parse(0, &token, &query).unwrap().after, Some(last));
            prop_assert_eq!(Page::parse(0, &token, &other).is_ok(), query == other);
        }

        #[test]
        fn no_text_makes_a_panic(size in any::<i32>(), token in any::<String>()) {
            drop(Page::parse(size, &token, "hosts"));
        }
    }
}
