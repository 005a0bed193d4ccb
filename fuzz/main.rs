//! Every parser under libFuzzer: one program, whose target `RAINCHECK_FUZZ_TARGET` names; without it, it lists them all
//! and lays out what they begin with. Started by `cargo xtask fuzz`.
//!
//! Invariant: a target is what the crates' own tests run; here is nothing but the way to it.

#![no_main]

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::OnceLock;

use raincheck_core::fuzz::{Target, WORDS, beginnings};

static CHOSEN: OnceLock<fn(&[u8])> = OnceLock::new();

fn targets() -> impl Iterator<Item = &'static Target> {
    [
        raincheck::fuzz::TARGETS,
        raincheck_sqlite::fuzz::TARGETS,
        raincheck_cli::fuzz::TARGETS,
    ]
    .into_iter()
    .flatten()
}

/// Says every target, and lays out what each begins with in `INTO/TARGET/corpus`, and what parsers look for in `INTO/dictionary`;
/// the arguments are the folder of what is kept, and `INTO`.
fn lay_out() -> std::io::Result<()> {
    let mut folders = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(kept), Some(into)) = (folders.next(), folders.next()) else {
        return Err(std::io::Error::other("started by cargo xtask fuzz"));
    };
    let mut out = std::io::stdout().lock();
    for target in targets() {
        let corpus = into.join(target.0).join("corpus");
        std::fs::create_dir_all(&corpus)?;
        for (n, input) in beginnings(target, &kept).iter().enumerate() {
            std::fs::write(corpus.join(format!("kept-{n}")), input)?;
        }
        writeln!(out, "{}", target.0)?;
    }
    let quoted = |byte: &u8| format!("\\x{byte:02x}");
    let word = |word: &&str| format!("\"{}\"\n", word.as_bytes().iter().map(quoted).collect::<String>());
    std::fs::write(
        into.join("dictionary"),
        WORDS.iter().map(word).collect::<String>(),
    )?;
    out.flush()
}

fn choose() {
    let wanted = std::env::var("RAINCHECK_FUZZ_TARGET").ok();
    let chosen = targets().find(|(name, ..)| wanted.as_deref() == Some(name));
    if let Some((_, target, _)) = chosen {
        let _ = CHOSEN.set(*target);
        return;
    }
    std::process::exit(match lay_out() {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("error: {error}");
            1
        }
    })
}

libfuzzer_sys::fuzz_target!(
    init: choose(),
    |bytes: &[u8]| {
        if let Some(target) = CHOSEN.get() {
            target(bytes);
        }
    }
);
