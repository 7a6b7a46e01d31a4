//! The bytes of an image, from a web server, cut into blocks that can be written.

use crate::cluster::ImageSpec;
use crate::error::OxideError;
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt, stream};
use std::time::Duration;
use url::Url;

/// Bytes of one write: the most that the rack takes at once.
const WRITE: usize = 512 << 10;

/// The largest image, in bytes: the largest disk.
const MOST: u64 = crate::pool::MAX_DISK_GIB as u64 * (1 << 30);

/// How long a server may be silent.
const SILENCE: Duration = Duration::from_secs(60);

const CONNECT: Duration = Duration::from_secs(10);

/// As many bytes as show what a file is.
const HEAD: usize = 6;

/// What files begin with that are no raw images, and what they are.
const NOT_RAW: [(&[u8], &str); 6] = [
    (b"QFI\xfb", "a qcow2 image: convert it to a raw one"),
    (b"\x1f\x8b", "compressed with gzip: unpack it"),
    (b"\xfd7zXZ\x00", "compressed with xz: unpack it"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd: unpack it"),
    (b"KDMV", "a VMDK image: convert it to a raw one"),
    (b"<", "a web page: is that the address of the image itself?"),
];

/// So many bytes of a disk, from an offset.
pub(super) struct Write {
    pub(super) offset: u64,
    pub(super) bytes: Bytes,
}

/// An image that is being read.
pub(super) struct Source {
    image: String,
    url: String,
    /// Bytes of it in all.
    pub(super) length: u64,
    /// Bytes of a block of the disk it becomes.
    pub(super) block_size: u16,
    /// What has been read of it.
    head: Bytes,
    answer: reqwest::Response,
}

impl Source {
    /// Asks for an image, and reads as much as shows that it is none.
    pub(super) async fn open(spec: &ImageSpec) -> Result<Self, OxideError> {
        let Some(source) = &spec.source else {
            return Err(bad(&spec.name, "nowhere", "there is none of this name and no source is given: give one"));
        };
        let url = shown(&source.url);
        let mut answer = fetch(source.url.clone()).await.map_err(|error| bad(&spec.name, &url, &reason(error)))?;
        if !answer.status().is_success() {
            return Err(bad(&spec.name, &url, &format!("the server answers {}", answer.status())));
        }
        let length = answer.content_length().filter(|length| (1..=MOST).contains(length));
        let Some(length) = length else {
            return Err(bad(&spec.name, &url, "the server does not say a size that a disk can have"));
        };
        if length % u64::from(source.block_size) != 0 {
            let why =
                format!("its {length} bytes are no whole blocks of {}: it is no raw image of such", source.block_size);
            return Err(bad(&spec.name, &url, &why));
        }
        let mut head = BytesMut::new();
        while head.len() < HEAD {
            let part = answer.chunk().await.map_err(|error| bad(&spec.name, &url, &reason(error)))?;
            let Some(part) = part else { break };
            head.extend_from_slice(&part);
        }
        if let Some((_, what)) = NOT_RAW.iter().find(|(magic, _)| head.starts_with(magic)) {
            return Err(bad(&spec.name, &url, &format!("it is {what}")));
        }
        let head = head.freeze();
        Ok(Self { image: spec.name.clone(), url, length, block_size: source.block_size, head, answer })
    }

    /// What is to be written, in the order of the image; what is all zeros is left out, as a new disk has those. Fails where
    /// the image ends early.
    pub(super) fn writes(self) -> impl Stream<Item = Result<Write, OxideError>> {
        let Self { image, url, length, head, answer, .. } = self;
        let body = Box::pin(stream::iter([Ok(head)]).chain(answer.bytes_stream()));
        let state = Cut { image, url, length, offset: 0, buffer: BytesMut::new(), body };
        stream::try_unfold(state, Cut::next)
    }
}

struct Cut<S> {
    image: String,
    url: String,
    length: u64,
    /// Of the buffer's first byte.
    offset: u64,
    buffer: BytesMut,
    body: S,
}

impl<S: Stream<Item = reqwest::Result<Bytes>> + Unpin> Cut<S> {
    async fn next(mut self) -> Result<Option<(Write, Self)>, OxideError> {
        loop {
            while self.buffer.len() < WRITE {
                let Some(part) = self.body.next().await else { break };
                let part = part.map_err(|error| bad(&self.image, &self.url, &reason(error)))?;
                self.buffer.extend_from_slice(&part);
            }
            if self.buffer.is_empty() {
                if self.offset == self.length {
                    return Ok(None);
                }
                let why = format!("it ends after {} of {} bytes", self.offset, self.length);
                return Err(bad(&self.image, &self.url, &why));
            }
            let bytes = self.buffer.split_to(self.buffer.len().min(WRITE)).freeze();
            let offset = self.offset;
            self.offset += bytes.len() as u64;
            if bytes.iter().any(|byte| *byte != 0) {
                return Ok(Some((Write { offset, bytes }, self)));
            }
        }
    }
}

async fn fetch(url: Url) -> reqwest::Result<reqwest::Response> {
    // Not the rack's client: its token is nobody else's.
    let client = reqwest::Client::builder()
        .user_agent(concat!("clowder/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
        .read_timeout(SILENCE)
        .build()?;
    client.get(url).send().await
}

pub(super) fn bad(image: &str, url: &str, why: &str) -> OxideError {
    OxideError::BadImage { image: image.to_owned(), url: url.to_owned(), why: why.to_owned() }
}

/// A URL without what may be secret in it.
pub(super) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // These fail for URLs that have no host, and so no user either.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.to_string()
}

fn reason(error: reqwest::Error) -> String {
    clowder_core::chain(&error.without_url())
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{FutureExt, TryStreamExt};

    fn writes(length: u64, parts: Vec<Vec<u8>>) -> Result<Vec<Write>, OxideError> {
        let body = stream::iter(parts.into_iter().map(|part| Ok(Bytes::from(part))));
        let cut = Cut {
            image: "debian".to_owned(),
            url: "http://images/debian".to_owned(),
            length,
            offset: 0,
            buffer: BytesMut::new(),
            body,
        };
        stream::try_unfold(cut, Cut::next).try_collect().now_or_never().expect("nothing is waited for")
    }

    #[test]
    fn zeros_are_left_out_and_the_rest_keeps_its_place() {
        let mut image = vec![0_u8; 3 * WRITE + 512];
        image[WRITE + 7] = 1;
        image[3 * WRITE] = 2;
        let length = image.len() as u64;
        let parts = image.chunks(100_000).map(<[u8]>::to_vec).collect();
        let written: Vec<(u64, usize)> =
            writes(length, parts).unwrap().iter().map(|write| (write.offset, write.bytes.len())).collect();
        assert_eq!(written, [(WRITE as u64, WRITE), (3 * WRITE as u64, 512)]);
    }

    #[test]
    fn an_image_that_ends_early_is_refused() {
        let why = writes(1024, vec![vec![7; 512]]).err().unwrap().to_string();
        assert_eq!(why, "image debian cannot be imported from http://images/debian: it ends after 512 of 1024 bytes");
    }

    #[test]
    fn a_url_is_shown_without_its_secrets() {
        let url = "https://ann:pw@images.example/d.raw?token=t#f".parse().unwrap();
        assert_eq!(shown(&url), "https://images.example/d.raw");
    }
}
