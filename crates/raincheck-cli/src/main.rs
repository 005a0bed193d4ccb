//! The binary `raincheck`: server and command line.
fn main() {}
