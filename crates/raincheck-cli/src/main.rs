//! The binary `raincheck`.
//!
//! Invariant: all of it is in the library beside it, so that tests and fuzzers have what the binary has.

#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    raincheck_cli::main()
}
