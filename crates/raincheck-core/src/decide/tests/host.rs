//! When a host's circuit opens and closes, and how many requests there is room for.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::decide::{all_held, begin_probe, forgettable, host_answered, host_room, webhook_share};
use crate::host::{
    Circuit, FAILURES_MAX, HostAnswer, HostHeld, HostHeldBy, HostState, OPEN_MAX, PAUSE_MAX, QUICK,
};

const WELL: HostAnswer = HostAnswer::Answered { retry_after: None };
const SLOW: Duration = Duration::from_secs(3);

fn told(state: &HostState, probe: bool, answer: HostAnswer, now: Timestamp) -> HostState {
    host_answered(state, probe, answer, SLOW, 7, now)
}

fn failed_times(n: u32, now: Timestamp) -> HostState {
    (0..n).fold(HostState::default(), |state, _| {
        told(&state, false, HostAnswer::BROKEN, now)
    })
}

fn until(state: &HostState) -> Timestamp {
    match state.circuit {
        Circuit::Open { until, .. } => until,
        closed @ (Circuit::Closed { .. } | Circuit::Probing { .. }) => panic!("{closed:?} is not open"),
    }
}

/// How many there is room for, and what keeps the others back.
fn room(state: &HostState, in_flight: u32, wanted: u32, now: Timestamp) -> String {
    let room = host_room(state, 8, in_flight, wanted, now);
    let mut text = room.count.to_string();
    if room.probe {
        text.push_str(" probe");
    }
    if let Some(held) = room.held {
        let _ = write!(text, " {}", held.by.as_str());
        if let Some(until) = held.until {
            let _ = write!(text, " {}ms", until.since(now).as_millis());
        }
    }
    text
}

#[test]
fn a_statuses_meaning() {
    let asked = Some(s(2));
    for (status, retry_after, told) in [
        (200, 0, WELL),
        (204, 2, WELL),
        (302, 0, WELL),
        (404, 0, WELL),
        (408, 2, WELL),
        (429, 0, WELL),
        (429, 2, HostAnswer::Answered { retry_after: asked }),
        (500, 2, WELL),
        (501, 0, WELL),
        (502, 2, HostAnswer::BROKEN),
        (503, 0, HostAnswer::BROKEN),
        (503, 2, HostAnswer::Failed { retry_after: asked }),
        (504, 0, HostAnswer::BROKEN),
    ] {
        assert_eq!(HostAnswer::of(status, s(retry_after)), told, "{status}");
    }
    assert_eq!(HostAnswer::none_within(s(9)), HostAnswer::Nothing);
    assert_eq!(HostAnswer::none_within(s(10)), HostAnswer::BROKEN);
}

#[test]
fn room_is_what_is_left_of_the_limit() {
    let state = HostState::default();
    for (in_flight, wanted, expected) in [
        (0, 3, "3"),
        (0, 8, "8"),
        (0, 9, "8 host_concurrency"),
        (7, 2, "1 host_concurrency"),
        (8, 1, "0 host_concurrency"),
        (12, 1, "0 host_concurrency"),
    ] {
        assert_eq!(room(&state, in_flight, wanted, at(0)), expected);
    }
}

#[test]
fn failures_in_a_row_open_the_circuit_and_an_answer_between_them_does_not() {
    let almost = failed_times(FAILURES_MAX - 1, at(0));
    assert_eq!(room(&almost, 0, 1, at(0)), "1");
    let mended = told(&almost, false, WELL, at(1));
    assert_eq!(mended.circuit, HostState::default().circuit);
    let open = told(&almost, false, HostAnswer::BROKEN, at(1));
    let pause = until(&open).since(at(1));
    assert!((Duration::from_millis(500)..=s(1)).contains(&pause), "{pause:?}");
    assert_eq!(
        room(&open, 0, 1, at(1)),
        format!("0 circuit {}ms", pause.as_millis())
    );
    let rare = told(&almost, false, HostAnswer::BROKEN, at(61));
    assert_eq!(
        room(&rare, 0, 1, at(61)),
        "1",
        "failures a minute apart are not in a row"
    );
    assert_eq!(told(&almost, false, HostAnswer::Nothing, at(1)), almost);
}

#[test]
fn an_open_circuit_lets_one_probe_through_that_tells_for_all() {
    let open = failed_times(FAILURES_MAX, at(0));
    let now = until(&open);
    assert_eq!(room(&open, 0, 5, now), "1 probe circuit");
    assert_eq!(
        room(&open, 8, 1, now),
        "0 host_concurrency",
        "what was sent before is still under way"
    );
    let probing = begin_probe(&open, now);
    assert_eq!(room(&probing, 1, 1, at(1000)), "0 circuit");
    let closed = told(&probing, true, WELL, at(2));
    assert_eq!(room(&closed, 0, 8, at(2)), "8");
    let dropped = told(&probing, true, HostAnswer::Nothing, at(2));
    assert_eq!(room(&dropped, 0, 1, now), "1 probe", "another may be it at once");
    let late = told(&probing, false, HostAnswer::BROKEN, at(2));
    assert_eq!(late, probing, "one that was sent before it opened tells nothing");
    let heard = told(&open, false, WELL, at(0));
    assert_eq!(room(&heard, 0, 1, at(0)), "1", "an answer to one that was does");
}

#[test]
fn each_probe_that_fails_doubles_the_pause_up_to_a_minute() {
    let (mut state, mut now) = (failed_times(FAILURES_MAX, at(0)), at(0));
    for ceiling in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
        let pause = until(&state).since(now);
        assert!(
            (s(ceiling) / 2..=s(ceiling)).contains(&pause),
            "{pause:?} of {ceiling} s"
        );
        now = until(&state);
        state = told(&begin_probe(&state, now), true, HostAnswer::BROKEN, now);
    }
}

#[test]
fn a_host_that_asks_for_it_is_left_alone_but_not_for_ever() {
    let asks = |seconds| HostAnswer::of(429, s(seconds));
    let paused = told(&HostState::default(), false, asks(2), at(0));
    assert_eq!(room(&paused, 0, 1, at(0)), "0 host_pause 2000ms");
    assert_eq!(room(&paused, 0, 1, at(2)), "1");
    let sooner = told(&paused, false, asks(1), at(0));
    assert_eq!(
        room(&sooner, 0, 1, at(0)),
        "0 host_pause 2000ms",
        "the longest counts"
    );
    let years = told(&paused, false, asks(1 << 30), at(0));
    assert_eq!(years.not_before, at(0).plus(PAUSE_MAX));
    let mut both = failed_times(FAILURES_MAX - 1, at(0));
    both = told(&both, false, HostAnswer::of(503, s(30)), at(0));
    assert_eq!(room(&both, 0, 1, at(0)), "0 host_pause 30000ms");
    assert_eq!(
        room(&both, 0, 2, at(30)),
        "1 probe circuit",
        "a circuit that is open stays so"
    );
}

#[test]
fn of_several_hosts_the_first_that_is_free_again_counts() {
    let held = |by, seconds: Option<u64>| HostHeld {
        by,
        until: seconds.map(at),
    };
    let (busy, open) = (HostHeldBy::Concurrency, HostHeldBy::Circuit);
    let pause = HostHeldBy::Pause;
    for (hosts, expected) in [
        (vec![], None),
        (vec![held(open, Some(3))], Some(held(open, Some(3)))),
        (
            vec![held(open, Some(3)), held(pause, Some(2))],
            Some(held(pause, Some(2))),
        ),
        (
            vec![held(open, None), held(pause, Some(2))],
            Some(held(pause, Some(2))),
        ),
        (
            vec![held(open, Some(3)), held(busy, None)],
            Some(held(busy, Some(3))),
        ),
        (vec![held(busy, None), held(open, None)], Some(held(busy, None))),
    ] {
        assert_eq!(all_held(hosts), expected);
    }
}

#[test]
fn a_quick_host_gets_more_webhooks_at_once_and_a_slow_one_its_share() {
    let fresh = HostState::default();
    assert_eq!(webhook_share(&fresh, 8), 8);
    let quick = host_answered(&fresh, false, WELL, QUICK, 0, at(0));
    assert_eq!((webhook_share(&quick, 8), webhook_share(&quick, 100)), (32, 100));
    assert_eq!(webhook_share(&told(&quick, false, WELL, at(0)), 8), 8);
    let refused = host_answered(&quick, false, HostAnswer::BROKEN, s(0), 0, at(0));
    assert_eq!(webhook_share(&refused, 8), 8);
}

#[test]
fn what_holds_requests_back_is_not_forgotten() {
    assert!(forgettable(&HostState::default(), at(0)));
    let counted = failed_times(1, at(0));
    assert!(!forgettable(&counted, at(60)) && forgettable(&counted, at(61)));
    let open = failed_times(FAILURES_MAX, at(0));
    assert!(!forgettable(&open, until(&open).plus(OPEN_MAX)));
    assert!(forgettable(&open, at(3600)));
    assert!(!forgettable(&begin_probe(&open, at(9)), at(3600)));
    let paused = told(&HostState::default(), false, HostAnswer::of(429, s(90)), at(0));
    assert!(!forgettable(&paused, at(89)) && forgettable(&paused, at(90)));
}

#[test]
fn what_a_clock_that_was_set_back_has_left_ahead_is_over() {
    let years = 10 * 365 * 86_400;
    let asks = |seconds| HostAnswer::of(429, s(seconds));
    let paused = told(&HostState::default(), false, asks(90), at(years));
    assert_eq!(room(&paused, 0, 1, at(0)), "1");
    assert!(forgettable(&paused, at(0)));
    let again = told(&paused, false, asks(30), at(0));
    assert_eq!(
        room(&again, 0, 1, at(0)),
        "0 host_pause 30000ms",
        "what it asks for now counts"
    );
    let open = failed_times(FAILURES_MAX, at(years));
    assert_eq!(room(&open, 0, 2, at(0)), "1 probe circuit");
    assert!(forgettable(&open, at(0)));
    let once = told(&begin_probe(&open, at(0)), true, HostAnswer::BROKEN, at(0));
    assert!(
        until(&once) <= at(0).plus(OPEN_MAX),
        "it is kept shut by the clock"
    );
    let failed = failed_times(FAILURES_MAX - 1, at(years));
    assert!(forgettable(&failed, at(0)));
    let one_more = told(&failed, false, HostAnswer::BROKEN, at(0));
    assert_eq!(room(&one_more, 0, 1, at(0)), "1", "those were not in a row");
}

fn answer() -> impl Strategy<Value = HostAnswer> {
    prop_oneof![
        3 => (200u16..600, 0u64..100).prop_map(|(status, pause)| HostAnswer::of(status, s(pause))),
        5 => Just(HostAnswer::BROKEN),
        2 => Just(HostAnswer::Nothing),
    ]
}

proptest! {
    /// Requests are begun and ended in any order: there are never more than may be, an open circuit has one probe at
    /// most, and what holds requests back has an end that somebody brings about.
    #[test]
    fn nothing_is_let_through_that_may_not_be_and_nothing_is_held_for_ever(
        steps in prop::collection::vec((0u64..4000, 1u32..4, prop::option::of((0usize..8, answer()))), 1..200),
        seed in any::<u64>(),
    ) {
        let (limit, mut state, mut now) = (4, HostState::default(), at(0));
        let mut flying: Vec<bool> = Vec::new();
        for (pause, wanted, ends) in steps {
            now = now.plus(Duration::from_millis(pause));
            if let Some((which, answer)) = ends.filter(|_| !flying.is_empty()) {
                let probe = flying.swap_remove(which % flying.len());
                state = host_answered(&state, probe, answer, s(1), seed, now);
            }
            let in_flight = u32::try_from(flying.len()).unwrap();
            let room = host_room(&state, limit, in_flight, wanted, now);
            prop_assert!(in_flight + room.count <= limit.max(in_flight));
            prop_assert!(room.count <= wanted);
            prop_assert_eq!(room.held.is_some(), room.count < wanted);
            if let Circuit::Open { until, .. } = state.circuit {
                prop_assert!(room.count == 0 || (room.probe && room.count == 1 && until <= now));
            }
            match room.held.map(|held| (held.by, held.until)) {
                Some((_, Some(until))) => {
                    prop_assert!(until > now && until.since(now) <= PAUSE_MAX);
                    let then = host_room(&state, limit, 0, 1, until);
                    prop_assert!(then.count == 1 || matches!(then.held, Some(held) if held.until.is_some()));
                }
                Some((HostHeldBy::Concurrency, None)) => prop_assert!(in_flight + room.count >= limit),
                // The probe is under way, or about to be.
                Some((HostHeldBy::Circuit, None)) => prop_assert!(
                    room.probe || flying.contains(&true)
                ),
                Some((HostHeldBy::Pause, None)) => prop_assert!(false, "a pause has an end"),
                None => {}
            }
            if room.probe && room.count > 0 {
                state = begin_probe(&state, now);
            }
            flying.extend((0..room.count).map(|_| room.probe));
        }
    }
}
