//! A job within one process, as [`inside`] measures it, with mimalloc: an allocator is the application's to choose, never the library's.
//!
//! Invariant: nothing else differs.

#[path = "inside.rs"]
mod inside;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    inside::main()
}
