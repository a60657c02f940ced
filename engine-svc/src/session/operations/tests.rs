use super::*;

fn host(name: &str) -> HostName {
    HostName::parse(name).unwrap()
}

fn begin(operations: &Operations, name: &str) -> Uuid {
    let id = Uuid::now_v7();
    operations.begin(&host(name), id, Task::setup(&Owed::default()), 1);
    id
}

fn ids(found: Vec<Operation>) -> Vec<Uuid> {
    found.into_iter().map(|operation| operation.id).collect()
}

#[test]
fn a_host_that_does_much_drives_out_its_own_oldest_alone() {
    let operations = Operations::default();
    let quiet = begin(&operations, "quiet");
    let busy: Vec<Uuid> = (0..KEPT + 3).map(|_| begin(&operations, "busy")).collect();
    let kept: Vec<Uuid> = busy.iter().skip(3).rev().copied().collect();
    assert_eq!(ids(operations.newest(Some(&host("busy")), None, usize::MAX)), kept);
    assert_eq!(ids(operations.newest(Some(&host("quiet")), None, usize::MAX)), [quiet]);
    assert!(operations.one(busy[2]).is_none() && operations.one(busy[3]).is_some());
    let all: Vec<Uuid> = kept.iter().copied().chain([quiet]).collect();
    assert_eq!(ids(operations.newest(None, None, usize::MAX)), all);
    assert_eq!(ids(operations.newest(None, Some(all[1]), 2)), all[2..4]);
    operations.remove(&host("busy"));
    assert_eq!(ids(operations.newest(None, None, usize::MAX)), [quiet]);
}

#[test]
fn the_first_end_counts() {
    let operations = Operations::default();
    let id = begin(&operations, "host-a");
    assert!(operations.one(id).unwrap().ended.is_none());
    operations.end(id, Ended::lost());
    operations.end(id, Ended::of_plug(None));
    assert_eq!(operations.one(id).unwrap().ended.unwrap().outcome, Outcome::Lost);
}
