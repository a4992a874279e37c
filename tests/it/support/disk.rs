//! A disk that is full for one process, and has room again.
//!
//! A small file system would have to be mounted, which takes root or user namespaces, and not every machine that runs tests
//! gives either. A bound on the size of files (`RLIMIT_FSIZE`) anybody may set and lift on a process of theirs, and what a
//! program meets is the same: what is written across it is written in part, and what comes after fails. It says `EFBIG`
//! where a full disk says `ENOSPC`; what the ledger makes of SQLite's word for the latter stands in `ledger/faults.rs`.

use std::process::Command;

use super::{Gate, portcullis};

/// The program under test, begun so that a write over the bound fails rather than ends it.
pub fn portcullis_on_a_small_disk() -> Command {
    let plain = portcullis();
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(plain.get_program());
    command.env_remove("PORTCULLIS_POLICIES").env_remove("PORTCULLIS_TENANCY");
    command
}

impl Gate {
    /// Lets no file of it grow beyond so many bytes; none lifts that.
    pub fn disk(&self, bytes: Option<u64>) {
        let soft = bytes.map_or_else(|| "unlimited".to_owned(), |bytes| bytes.to_string());
        let words = [format!("--pid={}", self.pid()), format!("--fsize={soft}:")];
        assert!(Command::new("prlimit").args(words).status().unwrap().success(), "prlimit");
    }
}
