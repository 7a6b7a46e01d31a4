//! The storage manager of a node

fn main() {}
