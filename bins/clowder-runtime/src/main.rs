//! The worker binary - one model behind an OpenAI-compatible server

fn main() {}
