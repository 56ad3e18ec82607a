//! Does the program `annals` do what it says?
fn main() {}
