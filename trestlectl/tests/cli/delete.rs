//! `delete`.

use crate::fleet::Fleet;
use crate::harness::run;

const FLEET: &str = include_str!("../../../deploy/examples/fleet.yaml");

#[tokio::test]
async fn removes_what_a_file_names_in_reverse_order() {
    let fleet = Fleet::new();
    let engine = fleet.start().await;
    let server = format!("http://{}", engine.address);
    assert_eq!(run(&server, &["apply", "-f", "-"], FLEET).await.code, 0);

    let preview = run(&server, &["delete", "--dry-run", "-f", "-"], FLEET).await;
    assert_eq!(preview.code, 0, "{}", preview.stderr);
    assert!(preview.stdout.lines().all(|line| line.ends_with(" would be removed")), "{}", preview.stdout);
    assert_eq!(preview.stdout.lines().count(), 10);
    assert!(fleet.has("networks/blue"));

    let removed = run(&server, &["delete", "-f", "-"], FLEET).await;
    assert_eq!(removed.code, 0, "{}", removed.stderr);
    assert_eq!(removed.stdout.lines().next(), Some("hosts/host-b/networkAttachments/blue removed"));
    assert_eq!(removed.stdout.lines().last(), Some("clusters/lab removed"));
    assert_eq!(removed.stdout.lines().count(), 10);
    assert!(!fleet.has("networks/blue"));

    assert_eq!(run(&server, &["delete", "-f", "-"], FLEET).await.code, 1);
    let preview = run(&server, &["delete", "--dry-run", "-f", "-"], FLEET).await;
    assert_eq!((preview.code, preview.stdout.lines().last()), (1, Some("clusters/lab is not there")));
    let passed_over = run(&server, &["delete", "--dry-run", "--ignore-missing", "-f", "-"], FLEET).await;
    assert_eq!((passed_over.code, passed_over.stdout), (0, preview.stdout));
    let again = run(&server, &["delete", "--ignore-missing", "-f", "-"], FLEET).await;
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert!(again.stdout.contains("clusters/lab is not there"), "{}", again.stdout);
}

#[tokio::test]
async fn refuses_what_is_in_use_and_names_that_are_none() {
    let fleet = Fleet::new();
    let engine = fleet.start().await;
    let server = format!("http://{}", engine.address);
    assert_eq!(run(&server, &["apply", "-f", "-"], FLEET).await.code, 0);

    for words in [&["delete", "networks/blue"][..], &["delete", "--dry-run", "networks/blue"]] {
        let refused = run(&server, words, "").await;
        assert_eq!(refused.code, 1);
        assert!(refused.stderr.contains("error IN_USE: is in use"), "{}", refused.stderr);
        assert!(
            refused.stderr.contains("related  clusters/lab/clusterNetworks/blue, hosts/host-a"),
            "{}",
            refused.stderr
        );
    }
    assert_eq!(run(&server, &["delete", "blue"], "").await.code, 2);
    let removed = run(&server, &["delete", "hosts/host-a/networkAttachments/blue"], "").await;
    assert_eq!((removed.code, removed.stdout.as_str()), (0, "hosts/host-a/networkAttachments/blue removed\n"));
    assert!(removed.stderr.contains("host-a  in sync"), "{}", removed.stderr);
}
