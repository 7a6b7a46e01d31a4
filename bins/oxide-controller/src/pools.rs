//! Further pools of machines, from a file.

use crate::settings::{DISK_GIB, Image, SettingsError};
use clowder_core::infra::PoolName;
use clowder_oxide::{ExternalIp, PoolPrefix, PoolSpec, WorkerPool};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use url::Url;

/// The largest file that is read, in bytes.
const MAX_BYTES: u64 = 64 << 10;

/// Why there are no further pools.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PoolsError {
    #[error("the pools in {path} cannot be read")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("the pools in {path} have more than {MAX_BYTES} bytes: is it the right file?")]
    TooLong { path: PathBuf },
    #[error("the pools in {path} are not understood: {reason}")]
    Malformed { path: PathBuf, reason: String },
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    pools: BTreeMap<String, Written>,
}

/// A pool as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(deserialize_with = "parsed")]
    prefix: PoolPrefix,
    vcpus: u16,
    memory_gib: u32,
    #[serde(default = "disk_gib")]
    root_disk_gib: u32,
    #[serde(default)]
    data_disks_gib: Vec<u32>,
    #[serde(default)]
    min: u32,
    max: u32,
    image: Option<String>,
    #[serde(default, deserialize_with = "url")]
    image_source: Option<Url>,
    image_blocksize: Option<u16>,
    #[serde(default)]
    external_ip: bool,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

fn disk_gib() -> u32 {
    DISK_GIB
}

fn parsed<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

fn url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Url>, D::Error> {
    parsed(deserializer).map(Some)
}

/// The pools of a file. What one does not say of its image is as the other machines have it.
pub(crate) fn read(path: &Path, image: &Image) -> Result<BTreeMap<PoolName, WorkerPool>, SettingsError> {
    let unreadable = |source| PoolsError::Unreadable { path: path.to_owned(), source };
    if std::fs::metadata(path).map_err(unreadable)?.len() > MAX_BYTES {
        return Err(PoolsError::TooLong { path: path.to_owned() }.into());
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let File { pools } = toml::from_str(&text)
        .map_err(|error| PoolsError::Malformed { path: path.to_owned(), reason: at_line(&text, &error) })?;
    pools.into_iter().map(|(name, written)| Ok((PoolName(name), pool(written, image)?))).collect()
}

fn at_line(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    match before {
        Some(before) => format!("{} in line {}", error.message(), before.matches('\n').count() + 1),
        None => error.message().to_owned(),
    }
}

fn pool(written: Written, image: &Image) -> Result<WorkerPool, SettingsError> {
    let own = Image {
        name: written.image.clone().unwrap_or_else(|| image.name.clone()),
        source: written.image_source.or_else(|| image.source.clone().filter(|_| written.image.is_none())),
        blocksize: written.image_blocksize.unwrap_or(image.blocksize),
    };
    Ok(WorkerPool {
        machines: PoolSpec {
            prefix: written.prefix,
            vcpus: written.vcpus,
            memory_gib: written.memory_gib,
            root_disk_gib: written.root_disk_gib,
            data_disks_gib: written.data_disks_gib,
            min: written.min,
            max: written.max,
        },
        image: own.spec(),
        external_ip: if written.external_ip { ExternalIp::Ephemeral } else { ExternalIp::None },
        labels: written.labels,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<BTreeMap<PoolName, WorkerPool>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pools.toml");
        std::fs::write(&path, text).unwrap();
        let image = Image { name: "debian-12-cloud".to_owned(), source: None, blocksize: 512 };
        read(&path, &image).map_err(|error| clowder_core::chain(&error))
    }

    #[test]
    fn a_pool_of_large_machines() {
        let pools = read_text(
            "[pools.large]\nprefix = \"clowder-large-\"\nvcpus = 32\nmemory_gib = 512\ndata_disks_gib = [1000, 500]\n\
             max = 4\nlabels = { size = \"large\" }\n",
        );
        let pool = &pools.unwrap()[&PoolName::from("large")];
        assert_eq!((pool.machines.memory_gib, pool.machines.root_disk_gib, pool.machines.max), (512, DISK_GIB, 4));
        assert_eq!(
            (pool.machines.data_disks_gib.as_slice(), pool.image.name.as_str()),
            (&[1000, 500][..], "debian-12-cloud")
        );
        assert_eq!(pool.labels["size"], "large");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let (head, tail) = ("[pools.large]\nprefix = \"l-\"\n", "vcpus = 1\nmemory_gib = 1\nmax = 1\n");
        assert!(read_text(&format!("{head}{tail}")).is_ok());
        for (text, says) in [
            (format!("{head}{tail}cpu = 3\n"), "unknown field `cpu`"),
            (format!("{head}{tail}cpu = 3\n"), "in line 6"),
            (format!("[pools.large]\nprefix = \"l\"\n{tail}"), "prefix \"l\" is not usable"),
            (format!("{head}vcpus = 1\n"), "missing field"),
            (format!("{head}vcpus = -1\n"), "in line 3"),
        ] {
            let said = read_text(&text).unwrap_err();
            assert!(said.contains(says) && !said.contains('\n'), "{said}");
        }
    }
}
