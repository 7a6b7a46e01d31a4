//! What a worker's containers wrote.

use crate::call::call;
use crate::pod::{FETCH_CONTAINER, WORKER_CONTAINER};
use clowder_core::backend::LogOptions;
use clowder_core::{BackendError, BoxStream, WorkerId};
use futures::io::{AsyncBufRead, AsyncBufReadExt};
use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::LogParams;
use std::io;

/// The longest line that is given whole, in bytes; of a longer one, parts of so many.
const LONGEST_LINE: usize = 16 << 10;

/// The lines of the worker's process; while there is none yet, those of the process that fetches its model.
pub(super) async fn logs(
    pods: &Api<Pod>,
    worker: &WorkerId,
    options: LogOptions,
) -> Result<BoxStream<Result<String, BackendError>>, BackendError> {
    for container in [WORKER_CONTAINER, FETCH_CONTAINER] {
        match call(pods.log_stream(worker.as_str(), &params(container, options))).await {
            Ok(lines) => return Ok(lines_of(lines, worker.clone())),
            // The container has not been started yet.
            Err(error) if error.code() == Some(400) => {}
            Err(error) if error.is_absent() => return Err(BackendError::UnknownWorker { worker: worker.clone() }),
            Err(error) => return Err(unreadable(worker, error)),
        }
    }
    Ok(stream::empty().boxed())
}

fn params(container: &str, options: LogOptions) -> LogParams {
    LogParams {
        container: Some(container.to_owned()),
        follow: options.follow,
        tail_lines: options.tail.map(|lines| i64::try_from(lines).unwrap_or(i64::MAX)),
        ..LogParams::default()
    }
}

fn unreadable(worker: &WorkerId, error: impl Into<clowder_core::BoxError>) -> BackendError {
    BackendError::Unreachable { what: format!("reading of the log of worker {worker}"), source: error.into() }
}

fn lines_of(reader: impl AsyncBufRead + Send + 'static, worker: WorkerId) -> BoxStream<Result<String, BackendError>> {
    let begun = (Some(Box::pin(reader)), worker);
    stream::unfold(begun, |(reader, worker)| async move {
        let mut reader = reader?;
        match line(&mut reader).await {
            Ok(line) => Some((Ok(line?), (Some(reader), worker))),
            Err(error) => Some((Err(unreadable(&worker, error)), (None, worker))),
        }
    })
    .boxed()
}

/// The next line, without its end, or so much of it as a line may have; `None` at the end.
async fn line(reader: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    loop {
        let bytes = reader.fill_buf().await?;
        if bytes.is_empty() {
            return Ok((!line.is_empty()).then(|| text(&line)));
        }
        let room = LONGEST_LINE - line.len();
        let end = bytes.iter().take(room + 1).position(|byte| *byte == b'\n');
        let taken = end.unwrap_or(bytes.len().min(room));
        line.extend_from_slice(&bytes[..taken]);
        reader.consume_unpin(taken + usize::from(end.is_some()));
        if end.is_some() || room == 0 {
            return Ok(Some(text(&line)));
        }
    }
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::io::{BufReader, Cursor};

    async fn lines(bytes: &[u8], buffer: usize) -> Vec<String> {
        let reader = BufReader::with_capacity(buffer, Cursor::new(bytes.to_vec()));
        let lines = lines_of(reader, "m-0-0".parse().unwrap());
        lines.map(|line| line.unwrap()).collect().await
    }

    #[tokio::test]
    async fn lines_have_no_ends() {
        for buffer in [1, 2, 64] {
            assert_eq!(lines(b"one\n\ntwo\r\nth\xffree", buffer).await, ["one", "", "two", "th\u{fffd}ree"]);
            assert!(lines(b"", buffer).await.is_empty());
        }
    }

    #[tokio::test]
    async fn a_line_without_an_end_comes_in_parts() {
        let bytes = vec![b'x'; 2 * LONGEST_LINE + 5];
        for buffer in [1000, 3 * LONGEST_LINE] {
            let lengths: Vec<usize> = lines(&bytes, buffer).await.iter().map(String::len).collect();
            assert_eq!(lengths, [LONGEST_LINE, LONGEST_LINE, 5]);
            let whole = [vec![b'y'; LONGEST_LINE], b"\nz".to_vec()].concat();
            let lengths: Vec<usize> = lines(&whole, buffer).await.iter().map(String::len).collect();
            assert_eq!(lengths, [LONGEST_LINE, 1]);
        }
    }
}
