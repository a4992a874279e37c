//! How the linker lays the release binary out, where it is one that can: what stays resident of a program of this size
//! is decided there.
//!
//! - Relative relocations are packed (DT_RELR, glibc 2.36): a position-independent program of this size holds sixty
//!   thousand, which are read at every start and otherwise stay resident, a megabyte and a half.
//! - What runs lies together, in the order that `deploy/layout/learn.py` has noted: a third of the memory of a gate.

use std::path::{Path, PathBuf};
use std::process::Command;

const ORDER: &str = "deploy/layout/x86_64-unknown-linux-gnu.order";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let is = |key: &str, value: &str| std::env::var(key).is_ok_and(|found| found == value);
    let linux = is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu");
    let native = std::env::var("HOST").ok() == std::env::var("TARGET").ok();
    if !(linux && native) {
        return;
    }
    if glibc().is_some_and(|version| version >= (2, 36)) {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
    if is("PROFILE", "release") && is("CARGO_CFG_TARGET_ARCH", "x86_64") && lld() && ordered().is_none() {
        println!("cargo:warning={ORDER} cannot be used: the binary will hold more memory than it need");
    }
}

/// Has the linker put first what the order names. Names that this compiler does not make are no news here: learn.py says
/// when to learn again.
fn ordered() -> Option<()> {
    let out = PathBuf::from(std::env::var_os("OUT_DIR")?);
    let order =
        std::fs::read_to_string(Path::new(&std::env::var_os("CARGO_MANIFEST_DIR")?).join(ORDER)).ok()?;
    // What link-time optimisation made visible across crates has a number at its end, another one in each folder. Only a
    // linker script knows wildcards; it takes its time over each.
    let (numbered, plain): (Vec<&str>, Vec<&str>) = order.lines().partition(|name| name.ends_with(".llvm.*"));
    let patterns: String = numbered.iter().flat_map(|name| ["*(.text.", name, ")\n"]).collect();
    let script = format!("SECTIONS {{ .text.ordered : {{\n{patterns}}} }} INSERT BEFORE .text;\n");
    std::fs::write(out.join("ordered.ld"), script).ok()?;
    std::fs::write(out.join("ordered.txt"), plain.join("\n") + "\n").ok()?;
    println!("cargo:rerun-if-changed={ORDER}");
    println!("cargo:rustc-link-arg-bins=-Wl,-T,{}", out.join("ordered.ld").display());
    println!("cargo:rustc-link-arg-bins=-Wl,--symbol-ordering-file={}", out.join("ordered.txt").display());
    println!("cargo:rustc-link-arg-bins=-Wl,--no-warn-symbol-ordering");
    Some(())
}

/// The version of the C library here; `None` where nobody can tell.
fn glibc() -> Option<(u32, u32)> {
    let said = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let said = String::from_utf8(said.stdout).ok()?;
    let (major, minor) = said.trim().rsplit_once(' ')?.1.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Whether the compiler links with the lld that it brings along, as it does here by default since 1.90. Other linkers
/// do not know the flag, so whoever chooses one goes without.
fn lld() -> bool {
    let flags = std::env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let chosen = std::env::var_os("RUSTC_LINKER").is_some() || flags.contains("link");
    !chosen
        && sysroot()
            .is_some_and(|root| root.join("lib/rustlib/x86_64-unknown-linux-gnu/bin/gcc-ld/ld.lld").exists())
}

fn sysroot() -> Option<PathBuf> {
    let said = Command::new(std::env::var_os("RUSTC")?).args(["--print", "sysroot"]).output().ok()?;
    Some(PathBuf::from(String::from_utf8(said.stdout).ok()?.trim()))
}
