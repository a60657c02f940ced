//! What of a setting may be shown.

/// Replaces what stands before the `@` of a URI's authority, a user and perhaps a password, by `***`.
pub fn redact(uri: &str) -> String {
    let Some((scheme, rest)) = uri.split_once("://") else { return uri.to_owned() };
    let authority = rest.split('/').next().unwrap_or_default();
    match authority.rsplit_once('@') {
        Some((user, _)) => format!("{scheme}://***{}", rest.get(user.len()..).unwrap_or_default()),
        None => uri.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_no_user_and_no_password() {
        assert_eq!(redact("qemu+tcp://ada:secret@host/system"), "qemu+tcp://***@host/system");
        assert_eq!(redact("http://127.0.0.1:4317/a@b"), "http://127.0.0.1:4317/a@b");
        assert_eq!(redact("none"), "none");
    }
}
