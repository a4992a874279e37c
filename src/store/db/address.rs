//! Where a ledger is: `sqlite:PATH`, `sqlite://PATH`, `postgres://…` or `postgresql://…`.

use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use directories::ProjectDirs;
use sqlx::sqlite::SqliteConnectOptions;

use super::Kind;
use crate::error::StoreError;

/// The user's data folder, where the embedded ledger is, such as `~/.local/share/portcullis`.
///
/// # Errors
/// There is no home directory to look for it in.
pub fn default_dir() -> Result<PathBuf, StoreError> {
    let dirs = ProjectDirs::from("", "", "portcullis")
        .ok_or_else(|| refuse("", "there is no home directory; name a database with --database"))?;
    Ok(dirs.data_dir().to_path_buf())
}

/// The embedded ledger's own place: `ledger.db` in [`default_dir`].
///
/// # Errors
/// There is no home directory to look for it in.
pub fn default_url() -> Result<String, StoreError> {
    Ok(format!("sqlite://{}", escape(&default_dir()?.join("ledger.db"))))
}

/// Reads an address, makes SQLite's file where it is missing, and gives back the address to connect to.
pub(super) fn read(url: &str) -> Result<(Kind, String), StoreError> {
    let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
    match scheme {
        "postgres" | "postgresql" => Ok((Kind::Postgres, url.to_owned())),
        "sqlite" => {
            let options =
                SqliteConnectOptions::from_str(url).map_err(|error| refuse(url, &error.to_string()))?;
            let file = options.get_filename();
            if url.contains(":memory:") || url.contains("mode=memory") || file.as_os_str().is_empty() {
                return Err(refuse(url, "a ledger is kept in a file, not in memory"));
            }
            make(file)?;
            Ok((Kind::Sqlite, url.to_owned()))
        }
        _ => Err(refuse(url, "it begins with neither `sqlite:` nor `postgres:`")),
    }
}

/// Makes an empty file for its owner alone, so that not even the first bytes are anybody else's to read; SQLite gives
/// the files beside it (`-wal`, `-shm`) the same mode.
fn make(file: &Path) -> Result<(), StoreError> {
    let failed = |source| StoreError::File { path: file.display().to_string(), source };
    if let Some(dir) = file.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        let mut builder = std::fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.recursive(true).create(dir).map_err(failed)?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(file) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(failed(error)),
        _ => Ok(()),
    }
}

fn escape(path: &Path) -> String {
    let text = path.display().to_string();
    text.replace('%', "%25").replace('?', "%3F").replace('#', "%23").replace(' ', "%20")
}

fn refuse(url: &str, problem: &str) -> StoreError {
    // `postgres://user:password@host/db`: what stands before the `@` is nobody's business.
    let shown = match url.split_once("://") {
        Some((scheme, rest)) => match rest.rsplit_once('@') {
            Some((_, rest)) => format!("{scheme}://…@{rest}"),
            None => url.to_owned(),
        },
        None => url.to_owned(),
    };
    StoreError::Address { url: shown, problem: problem.to_owned() }
}
