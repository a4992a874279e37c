//! A directory of policies: read whole, and followed by watching it.
//!
//! A ConfigMap mount changes by renaming the symlink `..data`, so what is watched is every directory on the way, and
//! what decides is the digest of what is read, not which event came.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use crate::layers::Layers;
use crate::live::Reload;
use crate::{Bundle, Problem, Problems};
use portcullis_lifecycle::ready::Condition;
use portcullis_lifecycle::watch::{Watch, around};

/// Files of a bundle, at most; a wrong `--policies /` must not read a disk.
const FILES_MAX: usize = 20_000;
/// Bytes of a bundle, at most.
const BYTES_MAX: u64 = 256 * 1024 * 1024;
const DEPTH_MAX: usize = 16;

/// How often a directory is read again that changes while it is read.
const READS_MAX: usize = 8;

/// Reads every file below a directory that a bundle may hold.
///
/// A mount swaps all its files at once, and reading takes longer than that: a bundle is taken only when the directory
/// looked the same before and after, or else some files would be old and some new.
///
/// # Errors
/// What cannot be read, by file.
pub fn read(root: &Path) -> Result<Bundle, Problems> {
    let mut before = stamps(root);
    for _ in 1..READS_MAX {
        let found = files(root);
        let after = stamps(root);
        if before == after {
            return Bundle::from_files(found?);
        }
        before = after;
    }
    Err(Problem::of(&root.display().to_string(), "changes faster than it can be read").into())
}

/// What a change of any file shows in, by path: the file behind the symlinks, its size and its time.
fn stamps(root: &Path) -> BTreeMap<PathBuf, (u64, u64, u64, i64, i64)> {
    let mut found = BTreeMap::new();
    let mut open = vec![(root.to_path_buf(), 0)];
    while let Some((dir, depth)) = open.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            let hidden = entry.file_name().to_string_lossy().starts_with('.');
            let Some(meta) = std::fs::metadata(&path).ok().filter(|_| !hidden) else { continue };
            if meta.is_dir() && depth < DEPTH_MAX {
                open.push((path, depth + 1));
            } else if wanted(&path) && found.len() < FILES_MAX {
                found.insert(path, (meta.dev(), meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec()));
            }
        }
    }
    found
}

/// Path below the root and contents of every file that is law, parameters, tests or cases.
///
/// # Errors
/// What cannot be read, by file.
pub fn files(root: &Path) -> Result<Vec<(String, Vec<u8>)>, Problems> {
    let meta = std::fs::metadata(root)
        .map_err(|error| Problem::of(&root.display().to_string(), error.to_string()))?;
    if !meta.is_dir() {
        return Err(Problem::of(
            &root.display().to_string(),
            "is no directory; --policies takes a directory of .rego files",
        )
        .into());
    }
    let mut found = Vec::new();
    let mut bytes = 0;
    walk(root, root, 0, &mut found, &mut bytes)?;
    Ok(found)
}

fn walk(
    root: &Path,
    dir: &Path,
    depth: usize,
    found: &mut Vec<(String, Vec<u8>)>,
    bytes: &mut u64,
) -> Result<(), Problems> {
    let name = |path: &Path| path.strip_prefix(root).unwrap_or(path).to_string_lossy().replace('\\', "/");
    let problem = |path: &Path, message: String| Problems::from(Problem::of(&name(path), message));
    if depth > DEPTH_MAX {
        return Err(problem(dir, format!("is deeper than {DEPTH_MAX} directories")));
    }
    for entry in std::fs::read_dir(dir).map_err(|error| problem(dir, error.to_string()))? {
        let entry = entry.map_err(|error| problem(dir, error.to_string()))?;
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        // Follows symlinks: in a ConfigMap mount every file is one.
        let meta = std::fs::metadata(&path).map_err(|error| problem(&path, error.to_string()))?;
        if meta.is_dir() {
            walk(root, &path, depth + 1, found, bytes)?;
        } else if wanted(&path) {
            *bytes += meta.len();
            if found.len() >= FILES_MAX || *bytes > BYTES_MAX {
                return Err(problem(
                    &path,
                    format!("is one too many: a bundle has at most {FILES_MAX} files and {BYTES_MAX} bytes"),
                ));
            }
            // Reading a FIFO blocks, and reading a device does not end.
            if !meta.is_file() {
                return Err(problem(&path, "is neither a regular file nor a directory".to_owned()));
            }
            let mut contents = Vec::new();
            let read = File::open(&path).and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut contents));
            read.map_err(|error| problem(&path, error.to_string()))?;
            found.push((name(&path), contents));
        }
    }
    Ok(())
}

fn wanted(path: &Path) -> bool {
    path.extension()
        .and_then(|extension| extension.to_str())
        .is_some_and(|known| matches!(known, "rego" | "yaml" | "yml" | "json"))
}

/// The directories to watch: the root and all below it, where it is named, and where a symlinked one really is.
pub fn watched(root: &Path) -> Vec<PathBuf> {
    let mut found = vec![root.to_path_buf()];
    // Where it is named, also while it is gone: that is where it comes back.
    found.extend(around(root));
    let mut open = vec![(root.to_path_buf(), 0)];
    while let Some((dir, depth)) = open.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if depth < DEPTH_MAX && path.is_dir() {
                found.push(path.clone());
                open.push((path, depth + 1));
            }
        }
    }
    found
}

/// Follows a directory until told to stop: what is read anew and whole is put in force, what is not is told.
///
/// # Errors
/// Never; a task that ends is a task that died.
pub async fn follow(
    root: PathBuf,
    layers: Layers,
    condition: Condition,
    stop: CancellationToken,
) -> Result<(), Infallible> {
    let mut watch = Watch::new();
    loop {
        // First followed, then read: what changes in between is told, also in a directory that is new.
        watch.follow(watched(&root));
        let (dir, law) = (root.clone(), layers.clone());
        // Reading and compiling take milliseconds: not on a thread that answers reviews.
        let done = tokio::task::spawn_blocking(move || law.base(read(&dir))).await;
        match done {
            Ok(Reload::Unchanged | Reload::Swapped) => match layers.live().caveat() {
                Some(caveat) => condition.good_but(caveat),
                None => condition.good(),
            },
            Ok(Reload::Refused(problems)) => {
                let first = problems.0.first().map(ToString::to_string).unwrap_or_default();
                condition.good_but(format!("the last good law is in force; the newest is refused: {first}"))
            }
            Err(error) => {
                tracing::error!(%error, "a bundle could not be compiled; the last good law stays in force");
                condition
                    .good_but("the last good law is in force; the newest ended its compilation with a panic")
            }
        };
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = watch.changed() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_is_refused_and_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("a.rego");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let said = read(dir.path()).unwrap_err().to_string();
        assert!(said.ends_with("a.rego: is neither a regular file nor a directory"), "{said}");

        std::fs::remove_file(&fifo).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &fifo).unwrap();
        let said = read(dir.path()).unwrap_err().to_string();
        assert!(said.ends_with("a.rego: is neither a regular file nor a directory"), "{said}");
    }
}
