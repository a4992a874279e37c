//! Tools of the ecosystem, built from their pinned Go modules into `target/tools`, once a version.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use crate::support::root;

/// Builds a package of a module below tests/controlplane and says where it is; `None` where there is no Go, which is
/// a failure where `CI` is true.
pub fn tool(name: &str, package: &str) -> Option<PathBuf> {
    // One build at a time: two of these fill two cores and 4 GB each.
    static BUILDING: Mutex<()> = Mutex::new(());
    let _one = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);

    let module = root().join("tests/controlplane").join(name);
    let binary = root().join("target/tools").join(format!("{name}-{}", digest(&module)));
    if binary.exists() {
        return Some(binary);
    }
    if Command::new("go").arg("version").output().is_err() {
        assert!(
            std::env::var_os("CI").is_none(),
            "go is missing: install Go 1.26 or later from https://go.dev/dl"
        );
        eprintln!("go is missing, so {name} cannot be built, and what it would have tried was not tried");
        return None;
    }
    std::fs::create_dir_all(binary.parent().unwrap()).unwrap();
    let aside = binary.with_extension(format!("{}.new", std::process::id()));
    let mut build = Command::new("go");
    build.args(["build", "-mod=readonly", "-trimpath", "-ldflags=-s -w", "-o"]).arg(&aside).arg(package);
    let done = build.current_dir(&module).output().unwrap();
    assert!(done.status.success(), "go build {package}: {}", String::from_utf8_lossy(&done.stderr));
    std::fs::rename(&aside, &binary).unwrap();
    Some(binary)
}

/// Of everything that the binary is made from.
fn digest(module: &Path) -> String {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(module).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut hash = Sha256::new();
    for file in &files {
        hash.update(std::fs::read(file).unwrap());
    }
    hex::encode(&hash.finalize()[..6])
}
