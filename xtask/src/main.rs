//! The chores behind `./x`.
fn main() {}
