//! What one caller put in must not make what others read unreadable: a claim's answer holds the inputs of many.

use serde_json::{Value, json};

use super::Bed;

/// JSON that one reader takes and another refuses, so that it may not stand in a document that holds more than itself.
fn poison() -> Vec<(&'static str, String)> {
    vec![
        ("half a surrogate", "\"\\ud800\"".to_owned()),
        ("half a surrogate as a name", "{\"\\udfff\":1}".to_owned()),
        (
            "surrogates the wrong way round",
            "[\"\\udc00\\ud800\"]".to_owned(),
        ),
        ("a number beyond every float", "1e400".to_owned()),
        ("one inside", "{\"a\":[-1e400]}".to_owned()),
        (
            "deep arrays",
            format!("{}{}", "[".repeat(5_000), "]".repeat(5_000)),
        ),
        (
            "deep objects",
            format!("{}1{}", "{\"a\":".repeat(5_000), "}".repeat(5_000)),
        ),
        ("just too deep", format!("{}{}", "[".repeat(101), "]".repeat(101))),
    ]
}

#[tokio::test]
async fn an_input_that_strict_readers_refuse_harms_nobody_elses_claim() {
    let mut bed = Bed::start().await;
    for (what, input) in poison() {
        let head = "Content-Type: application/json\r\n";
        bed.ask("POST", "/v1/queues/thumbs/jobs", head, input.as_bytes())
            .await;
        bed.ask("POST", "/v1/queues/thumbs/jobs", head, b"{\"fine\":true}")
            .await;
        let claim = json!({"worker": "w", "max": 2}).to_string();
        let claimed = bed
            .ask("POST", "/v1/queues/thumbs/claim", "", claim.as_bytes())
            .await;
        let document: Value = serde_json::from_slice(&claimed.body)
            .unwrap_or_else(|error| panic!("{what}: the claim cannot be read: {error}"));
        let inputs: Vec<_> = document["leases"]
            .as_array()
            .unwrap()
            .iter()
            .map(|lease| &lease["input"])
            .collect();
        assert_eq!(inputs[0]["base64"], raincheck_base64(&input), "{what}");
        assert_eq!(inputs[1]["json"], json!({"fine": true}), "{what}");
        for lease in document["leases"].as_array().unwrap() {
            let path = format!("/v1/leases/{}/succeed", lease["lease"].as_str().unwrap());
            let done = bed.ask("POST", &path, head, input.as_bytes()).await;
            assert_eq!(done.status, 200);
        }
    }
    bed.sound("poison").await;
}

#[tokio::test]
async fn a_result_that_strict_readers_refuse_harms_no_other_of_its_batch() {
    let mut bed = Bed::start().await;
    let lines = "{\"input\":1}\n".repeat(poison().len());
    let head = "Content-Type: application/x-ndjson\r\n";
    let batch = bed
        .ask("POST", "/v1/batches?queue=thumbs", head, lines.as_bytes())
        .await;
    let id = batch.json()["id"].as_str().unwrap().to_owned();
    let claim = json!({"worker": "w", "max": 100}).to_string();
    let claimed = bed
        .ask("POST", "/v1/queues/thumbs/claim", "", claim.as_bytes())
        .await
        .json();
    for (lease, (_, result)) in claimed["leases"].as_array().unwrap().iter().zip(poison()) {
        let path = format!("/v1/leases/{}/succeed", lease["lease"].as_str().unwrap());
        let done = bed
            .ask(
                "POST",
                &path,
                "Content-Type: application/json\r\n",
                result.as_bytes(),
            )
            .await;
        assert_eq!(done.status, 200);
    }
    let mut stream =
        crate::events::stream::Stream::open(bed.server.addr, &format!("/v1/batches/{id}/results")).await;
    for (what, result) in poison() {
        let line = stream.next_line().await.unwrap();
        let line: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(line["base64"], raincheck_base64(&result), "{what}");
    }
}

fn raincheck_base64(text: &str) -> Value {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let word =
            chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for n in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * n)) as usize & 63];
            out.push(if n <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    Value::String(out)
}
