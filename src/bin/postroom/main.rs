//! The `postroom` command line.
fn main() {}
