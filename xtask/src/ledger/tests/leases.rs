//! What the ledger says of pull workers' leases, on histories of a few facts each.

use super::super::*;

const JOB: &str = "job_1";

/// A history of one job, acknowledged.
struct Story {
    ledger: Ledger,
    calls: u64,
}

fn reply(status: u16, code: Option<&str>, outcome: Option<Shown>, result: Option<&str>) -> Reply {
    Reply {
        status,
        job: outcome.map(|_| JOB.into()),
        outcome,
        code: code.map(Into::into),
        replayed: false,
        doc: None,
        result: result.map(Into::into),
    }
}

impl Story {
    fn new() -> Self {
        let mut story = Self {
            ledger: Ledger::default(),
            calls: 0,
        };
        let submit = Submit {
            queue: "worked".into(),
            key: None,
            token: Token(1),
            valid: true,
            short_lived: false,
        };
        story.asks(
            Request::Submit(submit),
            Some(reply(202, None, Some(Shown::Pending), None)),
        );
        story
    }

    fn asks(&mut self, request: Request, answer: Option<Reply>) {
        self.calls += 1;
        let call = CallId(self.calls);
        self.ledger.record(0, Event::Call(call, request));
        let event = answer.map_or(Event::Lost(call), |reply| Event::Reply(call, reply));
        self.ledger.record(0, event);
    }

    fn settles(mut self, deed: Deed, fresh: bool, answer: Option<Reply>) -> Self {
        let settle = Settle {
            job: JOB.into(),
            deed,
            fresh,
        };
        self.asks(Request::Settle(settle), answer);
        self
    }

    fn redeems(mut self, marker: Marker) -> Self {
        let result = format!("200 done {} {marker}", Token(1));
        let answer = reply(200, None, Some(Shown::Succeeded), Some(&result));
        self.asks(Request::Redeem(JOB.into()), Some(answer));
        self
    }

    #[track_caller]
    fn is(self, expected: &[Fault]) {
        let found: Vec<Fault> = self.ledger.violations().iter().map(|found| found.fault).collect();
        assert_eq!(found, expected, "{:#?}", self.ledger.violations());
    }
}

const OURS: Marker = Marker(1);
const OTHER: Marker = Marker(2);

fn yes() -> Option<Reply> {
    Some(reply(200, None, None, None))
}

fn over() -> Option<Reply> {
    Some(reply(409, Some("lease-lost"), None, None))
}

#[test]
fn an_honest_settlement_passes() {
    Story::new()
        .settles(Deed::Succeed(OURS), true, yes())
        .redeems(OURS)
        .is(&[]);
    Story::new()
        .settles(Deed::Succeed(OURS), false, over())
        .redeems(OTHER)
        .is(&[]);
    Story::new()
        .settles(Deed::Succeed(OURS), true, None)
        .redeems(OURS)
        .is(&[]);
    Story::new()
        .settles(Deed::Succeed(OURS), true, None)
        .settles(Deed::Succeed(OURS), true, yes())
        .is(&[]);
}

#[test]
fn an_acknowledged_settlement_that_does_not_count_is_found() {
    Story::new()
        .settles(Deed::Succeed(OURS), true, yes())
        .redeems(OTHER)
        .is(&[Fault::SettlementLost]);
    Story::new()
        .settles(Deed::Succeed(OURS), true, yes())
        .settles(Deed::Succeed(OURS), true, over())
        .is(&[Fault::SettlementLost]);
    Story::new()
        .redeems(OTHER)
        .settles(Deed::Succeed(OURS), true, yes())
        .is(&[Fault::SettlementLost]);
}

#[test]
fn two_settlements_that_both_count_are_found() {
    Story::new()
        .settles(Deed::Succeed(OURS), true, yes())
        .settles(Deed::Succeed(OTHER), true, yes())
        .is(&[Fault::SettlementLost]);
}

#[test]
fn a_refused_settlement_that_counts_is_found() {
    Story::new()
        .settles(Deed::Succeed(OURS), false, over())
        .redeems(OURS)
        .is(&[Fault::StaleAccepted]);
}

#[test]
fn a_lease_that_is_forgotten_within_its_term_is_found() {
    Story::new()
        .settles(Deed::Fail, true, over())
        .is(&[Fault::LeaseForgotten]);
    Story::new()
        .settles(Deed::Renew, true, over())
        .is(&[Fault::LeaseForgotten]);
    Story::new().settles(Deed::Fail, false, over()).is(&[]);
}

#[test]
fn an_acknowledged_success_that_ends_otherwise_is_found() {
    let mut story = Story::new().settles(Deed::Succeed(OURS), true, yes());
    let answer = reply(410, Some("job-cancelled"), Some(Shown::Cancelled), None);
    story.asks(Request::Redeem(JOB.into()), Some(answer));
    story.is(&[Fault::OutcomeChanged]);
}
