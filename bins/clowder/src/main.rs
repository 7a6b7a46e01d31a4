//! The clowder command: a whole engine on one machine, and the client of one anywhere

fn main() {}
