//! A directory of policies: read as a whole, and watched while serving.
//!
//! A ConfigMap mount changes by renaming the symlink `..data`, so every directory on the path is watched, and the digest of
//! the files decides whether anything changed, not the kind of event.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use crate::layers::Layers;
use crate::policy_cell::Reload;
use crate::{Bundle, Problem, Problems};
use portcullis_lifecycle::ready::Condition;
use portcullis_lifecycle::watch::{Watch, around};

/// Bounds the reading of a mistaken `--policies /`.
const FILES_MAX: usize = 20_000;
const BYTES_MAX: u64 = 256 * 1024 * 1024;
const DEPTH_MAX: usize = 16;

/// Attempts to read a directory that changes meanwhile.
const READS_MAX: usize = 8;

/// Reads a directory as a bundle. The bundle counts only when the directory looked the same before and after reading;
/// otherwise some of its files could be old and some new.
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
    Err(Problem::of(
        &root.display().to_string(),
        "changes faster than it can be read; write the files elsewhere and rename the directory",
    )
    .into())
}

/// By path, device, inode, size and modification time of the file behind the symlinks.
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
            } else if is_bundle_file(&path) && found.len() < FILES_MAX {
                found.insert(path, (meta.dev(), meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec()));
            }
        }
    }
    found
}

/// Path below the root and contents of every policy, test, parameter and case file.
pub fn files(root: &Path) -> Result<Vec<(String, Vec<u8>)>, Problems> {
    let meta = std::fs::metadata(root)
        .map_err(|error| Problem::of(&root.display().to_string(), error.to_string()))?;
    if !meta.is_dir() {
        return Err(Problem::of(
            &root.display().to_string(),
            "is not a directory; --policies takes a directory of .rego files",
        )
        .into());
    }
    let mut found = Vec::new();
    let mut bytes = 0;
    collect(root, root, 0, &mut found, &mut bytes)?;
    Ok(found)
}

fn collect(
    root: &Path,
    dir: &Path,
    depth: usize,
    found: &mut Vec<(String, Vec<u8>)>,
    bytes: &mut u64,
) -> Result<(), Problems> {
    let name = |path: &Path| path.strip_prefix(root).unwrap_or(path).to_string_lossy().replace('\\', "/");
    let problem = |path: &Path, message: String| Problems::from(Problem::of(&name(path), message));
    if depth > DEPTH_MAX {
        return Err(problem(dir, format!("is nested more than {DEPTH_MAX} directories deep")));
    }
    for entry in std::fs::read_dir(dir).map_err(|error| problem(dir, error.to_string()))? {
        let entry = entry.map_err(|error| problem(dir, error.to_string()))?;
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        // `metadata` follows symlinks: in a ConfigMap mount every file is one.
        let meta = std::fs::metadata(&path).map_err(|error| problem(&path, error.to_string()))?;
        if meta.is_dir() {
            collect(root, &path, depth + 1, found, bytes)?;
        } else if is_bundle_file(&path) {
            *bytes += meta.len();
            if found.len() >= FILES_MAX || *bytes > BYTES_MAX {
                return Err(problem(
                    &path,
                    format!(
                        "exceeds the bounds of a bundle: at most {FILES_MAX} files and {BYTES_MAX} bytes"
                    ),
                ));
            }
            // Reading a FIFO blocks, and reading a device may not end.
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

fn is_bundle_file(path: &Path) -> bool {
    path.extension()
        .and_then(|extension| extension.to_str())
        .is_some_and(|known| matches!(known, "rego" | "yaml" | "yml" | "json"))
}

/// The directories to watch: the root, all below it, its parent, and the targets of symlinks.
fn watched(root: &Path) -> Vec<PathBuf> {
    let mut found = vec![root.to_path_buf()];
    // A removed root comes back in its parent.
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

/// Watches a directory until `stop` is cancelled, and sets the base layer from it after every change.
pub async fn follow(
    root: PathBuf,
    layers: Layers,
    condition: Condition,
    stop: CancellationToken,
) -> Result<(), Infallible> {
    let mut watch = Watch::new();
    loop {
        // Watch first, read second: a change in between is noticed, also in a new directory.
        watch.follow(watched(&root));
        let (dir, target) = (root.clone(), layers.clone());
        // Reading and compiling take milliseconds, which would block a thread that answers reviews.
        let done = tokio::task::spawn_blocking(move || target.set_base(read(&dir))).await;
        match done {
            Ok(Reload::Unchanged | Reload::Swapped) => match layers.policies().caveat() {
                Some(caveat) => condition.good_but(caveat),
                None => condition.good(),
            },
            Ok(Reload::Refused(problems)) => {
                let first = problems.0.first().map(ToString::to_string).unwrap_or_default();
                condition
                    .good_but(format!("the last good policies are in force; the newest are refused: {first}"))
            }
            Err(error) => {
                tracing::error!(%error, "compiling the policies panicked; the last good policies stay in force");
                condition.good_but("the last good policies are in force; compiling the newest panicked")
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
    fn fifos_and_devices_are_refused_without_reading() {
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
