//! `predict`: the model is asked for many at once, and what it finds is seen while it is found.

use crate::rig::Program;

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
