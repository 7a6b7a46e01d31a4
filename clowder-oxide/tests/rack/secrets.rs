//! What is logged shows nothing that is secret.

use crate::support::{Bench, options, spec};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use tracing_subscriber::fmt::MakeWriter;

/// Keeps all that is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn the_most_talkative_log_has_no_token_and_no_user_data() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone());
    let _logged = tracing::subscriber::set_default(subscriber.finish());
    let mut bench = Bench::new(options(), spec(1)).await;
    bench.size(1).await;
    let mut controller = bench.controller();
    bench.settle(&mut controller).await;

    let text = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(text.contains("instance_list"), "calls are logged");
    assert!(!text.contains(bench.rack.token()));
    for name in ["clowder-control-plane-0", "clowder-worker-0"] {
        let encoded = BASE64_STANDARD.encode(bench.rack.instance(name).unwrap().user_data.as_bytes());
        assert!(!text.contains(&encoded[..32]), "{name}");
    }
}
