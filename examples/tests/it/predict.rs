//! `predict`: the model is asked for many at once, and what it finds is seen while it is found; and how it began.

use crate::rig::{Pending, Program, original};

#[test]
fn requests_at_once_are_guessed_together_and_rightly() {
    let predict = Program::start("predict", &[("GATHER_MS", "50")]);
    let lines = [
        ("rust", "pub(crate) fn new(inner: Arc<Mutex<Vec<u8>>>) -> Self {"),
        ("python", "    for name, value in headers.items():"),
        (
            "sql",
            "CREATE INDEX waiting ON jobs (queue, run_at) WHERE state = 0;",
        ),
        (
            "markdown",
            "The server refuses to start without a key, and says why.",
        ),
        ("json", "\"description\": \"The job's id.\","),
    ];
    let jobs: Vec<_> = (0..40)
        .map(|n| {
            let (kind, line) = lines[n % lines.len()];
            (kind, predict.post("/guess", line).location())
        })
        .collect();
    for (kind, job) in jobs {
        let guess = predict.get(&format!("{job}/result?wait=60")).json();
        assert_eq!(guess["kind"], kind, "{guess}");
        assert!(guess["certainty"].as_f64().unwrap() > 0.2, "{guess}");
    }
    let about = predict.get("/").json();
    assert!(about["largest_batch"].as_u64().unwrap() > 1, "{about}");
    assert!(about["accuracy"].as_f64().unwrap() > 0.85, "{about}");
}

#[test]
fn findings_are_seen_while_they_are_made() {
    let predict = Program::start("predict", &[("GATHER_MS", "30")]);
    let text = "let mut found = Vec::new();\n".repeat(20);
    let job = predict.post("/annotate", &text).location();
    let mut events = predict.ask("GET", &format!("{job}/events")).follow();
    let first = events.until("output");
    assert!(
        first.data["text"].as_str().unwrap().starts_with("rust"),
        "{first:?}"
    );
    assert_eq!(
        predict.get(&job).json()["done"],
        false,
        "the end is not waited for"
    );
    assert_eq!(events.until("done").data["outcome"], "succeeded");
    let found = predict.get(&format!("{job}/result")).json();
    assert_eq!(found["rust"], 20);
}

#[test]
fn the_original_takes_a_burst_without_a_bound_loses_it_and_asks_for_each_line_alone() {
    let line = "SELECT id FROM jobs WHERE state = 0";
    // The model takes its time: 64 lines are with it, 20 wait, and whoever comes then is told so.
    let predict = Program::start("predict", &[("GATHER_MS", "600000"), ("DEPTH", "20")]);
    let answers: Vec<_> = (0..100).map(|_| predict.post("/guess", line)).collect();
    let (accepted, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 202);
    assert!(
        accepted.len() >= 20 && refused.len() >= 16,
        "{} and {}",
        accepted.len(),
        refused.len()
    );
    for refusal in &refused {
        assert_eq!(
            (refusal.status, &refusal.json()["code"]),
            (429, &"queue-full".into())
        );
        assert!(refusal.header("retry-after").is_some());
    }
    let predict = Program::start_in(predict.kill(), "predict", &[("GATHER_MS", "300")]);
    for answer in &accepted {
        let guess = predict
            .get(&format!("{}/result?wait=60", answer.location()))
            .json();
        assert_eq!(guess["kind"], "sql");
    }
    let asked = predict.get("/").json()["asked"].as_u64().unwrap();
    assert!(
        asked * 4 <= accepted.len() as u64,
        "{asked} for {}",
        accepted.len()
    );
    let Some(held) = original("predict", &[("ASK_MS", "600000")]) else {
        return;
    };
    let burst: Vec<_> = (0..100)
        .map(|_| held.ask("POST", "/guess").body(line).begin())
        .collect();
    held.until("/", |about| about.json()["waiting"] == 100);
    drop(held);
    assert_eq!(
        burst
            .into_iter()
            .map(Pending::came_to_nothing)
            .filter(|lost| *lost)
            .count(),
        100
    );
    let one_by_one = original("predict", &[("ASK_MS", "1")]).unwrap();
    let burst: Vec<_> = (0..40)
        .map(|_| one_by_one.ask("POST", "/guess").body(line).begin())
        .collect();
    for asked in burst {
        assert_eq!(asked.answer().json()["kind"], "sql");
    }
    assert_eq!(
        one_by_one.get("/").json()["asked"],
        40,
        "once for each line, though all came at once"
    );
}
