//! The binary `raincheck`.
//!
//! Invariant: all of it is in the library beside it, so that tests and fuzzers have what the binary has.

/// The system's costs a tenth more, and more still where threads hand memory to each other, which is what a job does. Without huge
/// pages it takes as little while nothing happens, and gives back more after a load (`docs/adr/2026-11-22-what-a-job-costs.md`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    raincheck_cli::main()
}
