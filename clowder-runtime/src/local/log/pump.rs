//! From a process's pipe into its log.

use super::WorkerLog;
use super::lines::LineSplitter;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

/// Reads a pipe to its end, into the log. The first line goes to `first` instead, where there is one.
pub(in crate::local) async fn pump(
    mut pipe: impl AsyncRead + Unpin,
    log: Arc<WorkerLog>,
    mut first: Option<oneshot::Sender<String>>,
) {
    let mut splitter = LineSplitter::default();
    let mut buffer = vec![0; 8 * 1024];
    loop {
        let (mut lines, ended) = match pipe.read(&mut buffer).await {
            Ok(0) | Err(_) => (std::mem::take(&mut splitter).finish().into_iter().collect(), true),
            Ok(read) => (splitter.push(&buffer[..read]), false),
        };
        if !lines.is_empty()
            && let Some(first) = first.take()
        {
            // Nobody waits for it any more where the process was given up.
            let _ = first.send(lines.remove(0));
        }
        if !lines.is_empty() {
            let log = Arc::clone(&log);
            // It fails only when the runtime ends.
            let _ = spawn_blocking(move || log.append(lines)).await;
        }
        if ended {
            return;
        }
    }
}
