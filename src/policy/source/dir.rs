//! A directory of policies: read whole, and followed by watching it.
//!
//! A ConfigMap mount changes by renaming the symlink `..data`, so what is watched is every directory on the way, and
//! what decides is the digest of what is read, not which event came.

use std::convert::Infallible;
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use crate::lifecycle::ready::Condition;
use crate::lifecycle::watch::Watch;
use crate::policy::live::Reload;
use crate::policy::{Bundle, Live, Problem, Problems};

/// Files of a bundle, at most; a wrong `--policies /` must not read a disk.
const FILES_MAX: usize = 20_000;
/// Bytes of a bundle, at most.
const BYTES_MAX: u64 = 256 * 1024 * 1024;
const DEPTH_MAX: usize = 16;

/// Reads every file below a directory that a bundle may hold.
///
/// # Errors
/// What cannot be read, by file.
pub fn read(root: &Path) -> Result<Bundle, Problems> {
    Bundle::from_files(files(root)?)
}

/// Path below the root and contents of every file that is law, parameters, tests or cases.
///
/// # Errors
/// What cannot be read, by file.
pub fn files(root: &Path) -> Result<Vec<(String, Vec<u8>)>, Problems> {
    let meta = std::fs::metadata(root).map_err(|error| Problem::of(&root.display().to_string(), error.to_string()))?;
    if !meta.is_dir() {
        return Err(Problem::of(&root.display().to_string(), "is no directory; --policies takes a directory of .rego files").into());
    }
    let mut found = Vec::new();
    let mut bytes = 0;
    walk(root, root, 0, &mut found, &mut bytes)?;
    Ok(found)
}

fn walk(root: &Path, dir: &Path, depth: usize, found: &mut Vec<(String, Vec<u8>)>, bytes: &mut u64) -> Result<(), Problems> {
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
                return Err(problem(&path, format!("is one too many: a bundle has at most {FILES_MAX} files and {BYTES_MAX} bytes")));
            }
            let contents = std::fs::read(&path).map_err(|error| problem(&path, error.to_string()))?;
            found.push((name(&path), contents));
        }
    }
    Ok(())
}

fn wanted(path: &Path) -> bool {
    path.extension().and_then(|extension| extension.to_str()).is_some_and(|known| matches!(known, "rego" | "yaml" | "yml" | "json"))
}

/// The directories to watch: the root and all below it, and where a symlinked root really is.
pub fn watched(root: &Path) -> Vec<PathBuf> {
    let mut found = vec![root.to_path_buf()];
    if let Some(parent) = root.canonicalize().ok().and_then(|real| real.parent().map(Path::to_path_buf)) {
        found.push(parent);
    }
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
pub async fn follow(root: PathBuf, live: Live, condition: Condition, stop: CancellationToken) -> Result<(), Infallible> {
    let mut watch = Watch::new();
    watch.follow(watched(&root));
    loop {
        let (dir, law) = (root.clone(), live.clone());
        // Reading and compiling take milliseconds: not on a thread that answers reviews.
        let done = tokio::task::spawn_blocking(move || (law.reload(read(&dir)), watched(&dir))).await;
        if let Ok((outcome, directories)) = done {
            match outcome {
                Reload::Unchanged | Reload::Swapped => condition.good(),
                Reload::Refused(problems) => {
                    let first = problems.0.first().map(ToString::to_string).unwrap_or_default();
                    condition.good_but(format!("the last good law is in force; the newest is refused: {first}"))
                }
            };
            watch.follow(directories);
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = watch.changed() => {}
        }
    }
}
