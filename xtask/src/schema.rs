//! `cargo xtask schema`: what the served OpenAPI document says, tried against the real server by schemathesis.
//!
//! It makes requests of the document's examples, of the bounds of its schemas and at random, follows ids from answer to
//! request, and checks each answer: no 5xx, no status, media type, header or body that the document does not describe.
//!
//! Invariant: the same requests in every run, on a throw-away server, and an end to it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use tokio::process::Command;
use tokio::time::timeout;

use crate::setup::schemathesis;
use crate::soak::server::{self, Server, Start};

/// Requests at random for each operation, beside those of its examples and bounds.
const EXAMPLES: &str = "3";
/// It takes a quarter of a minute where nothing else runs.
const WITHIN: Duration = Duration::from_secs(180);
/// How long the server may take to leave.
const LEAVES_WITHIN: Duration = Duration::from_secs(40);

/// What is not left to chance, and why a check is left out.
const CONFIG: &str = r#"
hooks = "hooks.py"

# Waits would only take time, and a stream that is followed does not end.
[parameters]
wait = 0
Prefer = "respond-async"
follow = "false"

# That a schema says all there is to say of a value: some rules are between options, some are about what is stored.
[checks]
positive_data_acceptance.enabled = false
negative_data_rejection.enabled = false

# An input that came without a type goes without one.
[[operations]]
include-path = "/v1/jobs/{id}/input"
checks.content_type_conformance.enabled = false

# From the first key on every other request would be refused.
[[operations]]
include-operation-id = "createKey"
enabled = false
"#;

/// How a list of lines is sent, which schemathesis does not know.
const HOOKS: &str = r#"
import json
import schemathesis

@schemathesis.serializer("application/x-ndjson")
def lines(ctx, value):
    values = value if isinstance(value, list) else [value]
    return "".join(json.dumps(line) + "\n" for line in values).encode()
"#;

/// Tries the document against this server.
///
/// # Errors
/// When schemathesis cannot be had or finds something.
pub fn check(binary: &Path, say: &dyn Fn(&str)) -> Result<()> {
    let package = schemathesis()?;
    let dir = tempfile::Builder::new().prefix("raincheck-schema-").tempdir()?;
    let binary = server::copy(binary, dir.path())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(against(binary, dir.path(), &package, say))
}

async fn against(binary: String, dir: &Path, package: &Path, say: &dyn Fn(&str)) -> Result<()> {
    let store = dir.join("store");
    let start = Start {
        words: vec![binary],
        store,
        // The name that the document's examples use.
        queues: vec!["thumbs".to_owned()],
    };
    let mut server = Server::start(&start)?;
    let address = server.ready().await?;
    let said = timeout(WITHIN, run(dir, package, &format!("http://{address}"))).await;
    let Ok(said) = said else {
        bail!("schemathesis took longer than {WITHIN:?}");
    };
    let said = said?;
    let text = String::from_utf8_lossy(&said.stdout);
    if !said.status.success() {
        say(&text);
        say(&server.output());
        bail!(
            "schemathesis: {}; {}",
            said.status,
            String::from_utf8_lossy(&said.stderr).trim()
        );
    }
    ensure!(server.gone()?.is_none(), "the server left:\n{}", server.output());
    server.terminate()?;
    let status = server.left(LEAVES_WITHIN).await?;
    ensure!(
        status.success(),
        "the server left with {status}:\n{}",
        server.output()
    );
    let told = text.lines().find(|line| line.contains(" generated, "));
    say(told
        .context("schemathesis told how many requests it made")?
        .trim());
    Ok(())
}

/// Runs schemathesis in `dir`, where it may leave what it likes.
async fn run(dir: &Path, package: &Path, url: &str) -> Result<std::process::Output> {
    let config: PathBuf = dir.join("schemathesis.toml");
    std::fs::write(&config, CONFIG)?;
    std::fs::write(dir.join("hooks.py"), HOOKS)?;
    let mut python = Command::new("python3");
    python
        .args(["-c", "from schemathesis.cli import schemathesis; schemathesis()"])
        .arg("--config-file")
        .arg(&config)
        .arg("run")
        .arg(format!("{url}/openapi.json"))
        // It does not end.
        .args(["--exclude-path", "/v1/events"])
        .args(["--max-examples", EXAMPLES, "--generation-deterministic"])
        .args(["--continue-on-failure", "--request-timeout", "30", "--no-color"])
        .current_dir(dir)
        .env("PYTHONPATH", package)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    python.output().await.context("starting python3")
}
