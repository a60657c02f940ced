//! Words, files and surroundings that are wrong, and help.

use std::fs;

use tempfile::TempDir;

use crate::fleet::Fleet;
use crate::harness::{run, run_in};

/// Nobody listens there.
const NOBODY: &str = "http://127.0.0.1:1";

#[tokio::test]
async fn help_tells_every_command_and_exit_code() {
    let help = run(NOBODY, &["--help"], "").await;
    assert_eq!((help.code, help.stderr.as_str()), (0, ""));
    for word in ["apply", "check", "delete", "get", "status", "host", "pki", "completion", "TRESTLE_SERVER"] {
        assert!(help.stdout.contains(word), "{word} in {}", help.stdout);
    }
    assert!(help.stdout.contains(trestlectl::failure::EXIT_CODES), "{}", help.stdout);
}

#[tokio::test]
async fn exit_codes_tell_what_went_wrong() {
    let check = async |server: &str, words: &[&str], code: i32| {
        let ran = run(server, words, "").await;
        assert_eq!(ran.code, code, "{words:?}: {}", ran.stderr);
        assert_eq!(ran.stdout, "", "{words:?}");
        assert!(!ran.stderr.is_empty(), "{words:?}");
    };
    check(NOBODY, &["fly"], 2).await;
    check(NOBODY, &["get", "nics"], 2).await;
    check(NOBODY, &["apply"], 2).await;
    check(NOBODY, &["apply", "-f", "no-such-file.yaml"], 2).await;
    check(NOBODY, &["apply", "-f", "-"], 2).await;
    check(NOBODY, &["get", "hosts", "--timeout", "soon"], 2).await;
    check("http://192.0.2.1:7443", &["get", "hosts"], 2).await;
    check("https://127.0.0.1:7443", &["get", "hosts"], 2).await;
    check(NOBODY, &["get", "hosts"], 3).await;
    check(NOBODY, &["host", "capabilities", "--agent", "unix:/no/such/socket"], 3).await;
}

#[tokio::test]
async fn the_context_file_says_where_the_engine_is_unless_a_flag_does() {
    let fleet = Fleet::new();
    let engine = fleet.start().await;
    let home = TempDir::new().unwrap();
    let folder = home.path().join(".config/trestle");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("ctl.toml"), "server = \"http://127.0.0.1:1\"\n").unwrap();
    let server = format!("http://{}", engine.address);
    assert_eq!(run_in(home.path(), &server, &["get", "hosts"], "").await.code, 0, "the environment is above the file");

    fs::write(folder.join("ctl.toml"), "sever = \"x\"\n").unwrap();
    let unknown = run_in(home.path(), &server, &["get", "hosts"], "").await;
    assert_eq!(unknown.code, 2);
    assert!(unknown.stderr.contains("unknown field `sever`"), "{}", unknown.stderr);
    let absent = run_in(home.path(), &server, &["get", "hosts", "--context", "absent.toml"], "").await;
    assert_eq!(absent.code, 2);
}

#[tokio::test]
async fn completion_is_a_script() {
    for shell in ["bash", "zsh", "fish"] {
        let script = run(NOBODY, &["completion", shell], "").await;
        assert_eq!(script.code, 0);
        assert!(script.stdout.contains("trestlectl"), "{shell}");
    }
}

#[tokio::test]
async fn the_certificates_that_pki_makes_are_the_ones_that_a_target_needs() {
    let home = TempDir::new().unwrap();
    let made = async |words: &[&str]| {
        let ran = run_in(home.path(), NOBODY, words, "").await;
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        ran.stdout
    };
    made(&["pki", "init", "--dir", "pki", "--trust-domain", "trestle.local"]).await;
    assert_eq!(made(&["pki", "issue", "user", "ada", "--dir", "pki"]).await, "pki/ada.crt\npki/ada.key\n");
    let again = run_in(home.path(), NOBODY, &["pki", "issue", "user", "ada", "--dir", "pki"], "").await;
    assert_eq!(again.code, 2);
    let words = ["--ca", "pki/ca.crt", "--cert", "pki/ada.crt", "--key", "pki/ada.key", "get", "hosts"];
    let ran = run_in(home.path(), "https://127.0.0.1:1", &words, "").await;
    assert_eq!(ran.code, 3, "the certificates are taken, and nobody is there: {}", ran.stderr);
}
