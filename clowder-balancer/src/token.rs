//! The admin token: made once, kept in a file that only its owner reads.

use clowder_core::Secret;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

const MAX_BYTES: u64 = 4096;
const MIN_CHARACTERS: usize = 16;

/// The token of the operational API and the file that keeps it. Only the file's path is ever shown.
#[derive(Clone, Debug)]
pub struct AdminToken {
    secret: Secret,
    path: PathBuf,
}

/// Why there is no admin token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdminTokenError {
    /// Others than its owner may read the file.
    #[error("{path} can be read by others than its owner: run `chmod 600 {path}`")]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// The file holds no token.
    #[error("{path} holds no token of at least {MIN_CHARACTERS} printable characters: delete it to have one made")]
    Unusable {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read or made.
    #[error("the admin token's file {path} cannot be {action}")]
    Io {
        /// The file.
        path: PathBuf,
        /// `read` or `made`.
        action: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl AdminToken {
    /// Reads the token, or makes one of 256 random bits if there is no such file. Processes that start at the same time
    /// end up with the same token.
    ///
    /// # Errors
    /// [`AdminTokenError`]; a file that others can read is refused, not mended: the token may have been read.
    pub fn load_or_create(path: impl Into<PathBuf>) -> Result<Self, AdminTokenError> {
        let path = path.into();
        match read(&path) {
            Err(AdminTokenError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            outcome => return outcome.map(|secret| Self { secret, path }),
        }
        create(&path).map_err(|source| AdminTokenError::Io { path: path.clone(), action: "made", source })?;
        read(&path).map(|secret| Self { secret, path })
    }

    /// The token itself.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// The file that keeps it, for a person to be told.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn read(path: &Path) -> Result<Secret, AdminTokenError> {
    let failed = |source| AdminTokenError::Io { path: path.to_owned(), action: "read", source };
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if is_exposed(&metadata) {
        return Err(AdminTokenError::Exposed { path: path.to_owned() });
    }
    let mut text = String::new();
    file.take(MAX_BYTES).read_to_string(&mut text).map_err(failed)?;
    let token = text.trim();
    if token.len() < MIN_CHARACTERS || !token.chars().all(|c| c.is_ascii_graphic()) {
        return Err(AdminTokenError::Unusable { path: path.to_owned() });
    }
    Ok(Secret::new(token))
}

/// Writes a token beside the file and links it into place, so that nobody ever reads half of one, and whoever comes second
/// takes the first one's.
fn create(path: &Path) -> io::Result<()> {
    let token: String = rand::random::<[u8; 32]>().iter().map(|byte| format!("{byte:02x}")).collect();
    let unique: u64 = rand::random();
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{unique:016x}"));
    let draft = PathBuf::from(draft);
    let written = write(&draft, &token).and_then(|()| fs::hard_link(&draft, path));
    let removed = fs::remove_file(&draft);
    match written {
        // A draft that could not be made cannot be removed either: what matters is why.
        Ok(()) => removed,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => removed,
        Err(error) => Err(error),
    }
}

fn write(draft: &Path, token: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(draft)?;
    writeln!(file, "{token}")?;
    file.sync_all()
}

#[cfg(unix)]
fn is_exposed(metadata: &fs::Metadata) -> bool {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o077 != 0
}

#[cfg(not(unix))]
fn is_exposed(_: &fs::Metadata) -> bool {
    false
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn made_once_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin-token");
        let made = AdminToken::load_or_create(&path).unwrap();
        assert_eq!(made.secret().expose().len(), 64);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(AdminToken::load_or_create(&path).unwrap().secret(), made.secret());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left");
        assert!(!format!("{made:?}").contains(made.secret().expose()));
    }

    #[test]
    fn a_token_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin-token");
        AdminToken::load_or_create(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(AdminToken::load_or_create(&path), Err(AdminTokenError::Exposed { .. })));
    }

    #[test]
    fn an_empty_file_is_no_token() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin-token");
        write(&path, "short").unwrap();
        assert!(matches!(AdminToken::load_or_create(&path), Err(AdminTokenError::Unusable { .. })));
    }

    #[test]
    fn starters_at_the_same_time_share_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin-token");
        let tokens: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| AdminToken::load_or_create(&path).unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(tokens.iter().all(|token| token.secret() == tokens[0].secret()));
    }
}
