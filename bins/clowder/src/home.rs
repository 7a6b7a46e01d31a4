//! The home folder: all that Clowder keeps on this machine.

use crate::exit::Error;
use clowder_core::Secret;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// The folder and the places in it.
///
/// | path | what |
/// |---|---|
/// | `config.toml` | options, by command |
/// | `admin.token` | the token of the operational API, readable by its owner alone |
/// | `address` | where the running server listens, or the last one did that was killed |
/// | `lock` | held by the running server; holds its process id |
/// | `models.json` | the models that shall be served |
/// | `cache/` | the bytes of models |
/// | `logs/` | what workers wrote |
#[derive(Clone, Debug)]
pub(crate) struct Home(PathBuf);

impl Home {
    /// The folder named, or else `clowder` in the user's data folder.
    pub(crate) fn new(named: Option<PathBuf>) -> Result<Self, Error> {
        let folder = named.or_else(|| default_folder(&|name| std::env::var_os(name)));
        let folder = folder
            .ok_or_else(|| Error::usage("no home folder: set --home or CLOWDER_HOME (HOME is not set either)"))?;
        // Workers run in other folders: a path relative to this one would mean nothing to them.
        std::path::absolute(&folder).map(Self).map_err(Error::file(format!("finding {}", folder.display())))
    }

    /// The folder itself.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Where options may be kept.
    pub(crate) fn config(&self) -> PathBuf {
        self.0.join("config.toml")
    }

    /// The admin token's file.
    pub(crate) fn admin_token(&self) -> PathBuf {
        self.0.join("admin.token")
    }

    /// The running server's address.
    pub(crate) fn address(&self) -> PathBuf {
        self.0.join("address")
    }

    /// The lock of the running server.
    pub(crate) fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    /// What shall be served.
    pub(crate) fn models(&self) -> PathBuf {
        self.0.join("models.json")
    }

    /// The cache, where no other is named.
    pub(crate) fn cache(&self) -> PathBuf {
        self.0.join("cache")
    }

    /// What workers wrote.
    pub(crate) fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }

    /// The base URL of the server that runs, or ran last, on this folder.
    pub(crate) fn server(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.address()).ok()?;
        let url = text.trim();
        (!url.is_empty()).then(|| url.to_owned())
    }

    /// The folder and its parents, open to its owner alone where it is made now.
    pub(crate) fn create(&self) -> Result<(), Error> {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&self.0).map_err(Error::file(format!("making {}", self.0.display())))
    }
}

fn default_folder(env: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let path = |name| env(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let data = path("XDG_DATA_HOME").or_else(|| Some(path("HOME")?.join(".local/share")))?;
    Some(data.join("clowder"))
}

/// The first line of a file that holds a secret; `None` where there is no such file.
pub(crate) fn read_secret(path: &Path) -> Result<Option<Secret>, Error> {
    match std::fs::read_to_string(path) {
        Ok(text) => {
            let line = text.lines().next().unwrap_or_default().trim();
            if line.is_empty() {
                return Err(Error::usage(format!("{} is empty: it should hold one line", path.display())));
            }
            Ok(Some(Secret::new(line)))
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::File { what: format!("reading {}", path.display()), source: e }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_folder_of_the_user() {
        let folder = |set: &[(&str, &str)]| {
            let set: Vec<(String, OsString)> = set.iter().map(|(k, v)| ((*k).to_owned(), (*v).into())).collect();
            default_folder(&move |name| set.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()))
        };
        assert_eq!(folder(&[("XDG_DATA_HOME", "/x"), ("HOME", "/h")]), Some("/x/clowder".into()));
        assert_eq!(folder(&[("XDG_DATA_HOME", "relative"), ("HOME", "/h")]), Some("/h/.local/share/clowder".into()));
        assert_eq!(folder(&[]), None);
    }
}
