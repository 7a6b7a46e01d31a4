//! The gateway in front of workers

fn main() {}
