use futures_util::FutureExt as _;
use tokio::sync::mpsc::Receiver;

use super::*;

const PATIENCE: Duration = Duration::from_secs(60);
const RESTS: Rests = Rests { first: Duration::from_secs(10), longest: Duration::from_secs(600) };

fn host() -> HostName {
    HostName::parse("host-a").unwrap()
}

fn open(board: &Arc<Board>) -> (Seat, Receiver<Result<EngineMessage, Status>>) {
    let (outbox, inbox) = mpsc::channel(OUTBOX);
    (board.open(&host(), outbox, 1), inbox)
}

fn command(board: &Board) -> Result<Uuid, NotSent> {
    let id = Uuid::now_v7();
    board.command(&host(), EngineMessage { trace: None, kind: None }, id, (Owed::default(), 1), PATIENCE).map(|()| id)
}

fn end(succeeded: bool, report_is_fresh: bool) -> End {
    End { succeeded, result: None, refusal: Findings::default(), report_is_fresh }
}

#[tokio::test]
async fn what_a_fenced_session_says_is_not_taken_for_its_successor() {
    let board = Arc::new(Board::default());
    let (old, _inbox) = open(&board);
    let (new, _inbox) = open(&board);
    assert!(old.fenced.is_cancelled() && !new.fenced.is_cancelled());
    board.reported(&host(), old.number);
    board.seen(&host(), old.number, 99);
    assert_eq!((board.host(&host()).reported, board.host(&host()).last_seen_ms), (false, 1));
    board.reported(&host(), new.number);
    assert!(board.host(&host()).reported);
}

#[tokio::test]
async fn a_session_listens_only_when_the_one_before_it_has_ended() {
    let board = Arc::new(Board::default());
    let (old, _inbox) = open(&board);
    assert!(old.vacant().now_or_never().is_some());
    let (new, _inbox) = open(&board);
    assert!(new.vacant().now_or_never().is_none());
    drop(old);
    assert!(new.vacant().now_or_never().is_some());
    assert!(board.host(&host()).connected, "the end of a fenced session closed its successor");
    drop(new);
    assert!(!board.host(&host()).connected);
}

#[tokio::test]
async fn commands_go_only_to_a_session_that_has_reported_and_has_none_under_way() {
    let board = Arc::new(Board::default());
    assert_eq!(command(&board), Err(NotSent::NoSession));
    let (seat, mut inbox) = open(&board);
    assert_eq!(command(&board), Err(NotSent::NotReported));
    board.reported(&host(), seat.number);
    command(&board).unwrap();
    assert_eq!(command(&board), Err(NotSent::Busy));
    assert!(inbox.try_recv().is_ok() && inbox.try_recv().is_err());
    seat.fenced.cancel();
    assert_eq!(command(&board), Err(NotSent::NoSession));
}

#[tokio::test]
async fn a_full_outbox_ends_the_session_and_leaves_no_command() {
    let board = Arc::new(Board::default());
    let (outbox, _inbox) = mpsc::channel(1);
    outbox.try_send(Err(Status::ok(""))).unwrap();
    let seat = board.open(&host(), outbox, 1);
    board.reported(&host(), seat.number);
    assert_eq!(command(&board), Err(NotSent::OutboxFull));
    assert!(seat.fenced.is_cancelled() && board.host(&host()).in_flight.is_none());
}

#[tokio::test]
async fn a_command_outlives_its_session_until_it_ends_or_is_lost() {
    let board = Arc::new(Board::default());
    let (seat, _inbox) = open(&board);
    board.reported(&host(), seat.number);
    let id = command(&board).unwrap();
    drop(seat);
    let (_seat, mut inbox) = open(&board);
    assert!(inbox.try_recv().is_ok(), "the command is not said again");
    board.settle(&host(), Uuid::now_v7(), end(true, true), RESTS);
    assert!(board.is_in_flight(&host(), id), "another command's end was taken for this one's");
    assert_eq!(board.forget_lost(Instant::now()), []);
    assert_eq!(board.forget_lost(Instant::now() + PATIENCE), [host()]);
    assert!(!board.is_in_flight(&host(), id));
}

#[tokio::test(start_paused = true)]
async fn the_same_failure_waits_twice_as_long_each_time_up_to_a_limit() {
    let board = Arc::new(Board::default());
    let (seat, _inbox) = open(&board);
    board.reported(&host(), seat.number);
    for seconds in [10, 20, 40, 80, 160, 320, 600, 600] {
        let id = command(&board).unwrap();
        board.settle(&host(), id, end(false, true), RESTS);
        let last = board.host(&host()).last.unwrap();
        assert_eq!(last.retry_at, Instant::now() + Duration::from_secs(seconds), "after {} failures", last.failures);
    }
}
