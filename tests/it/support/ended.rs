//! What must not outlive the test run.

use std::path::Path;
use std::process::{Command, Stdio};

/// Starts a process that waits for the end of this one, then ends the others (with SIGINT, and after five seconds for
/// good) and removes their directory. Nothing that runs inside this process could: a panic may abort it, and statics are
/// never dropped.
#[expect(clippy::zombie_processes, reason = "it outlives this process, which is what it is for")]
pub fn with_us(pids: &[u32], dir: &Path) {
    let script = "us=$1 dir=$2; shift 2; while kill -0 $us 2>/dev/null; do sleep 0.2; done; \
                  kill -INT \"$@\" 2>/dev/null; \
                  i=0; while kill -0 \"$@\" 2>/dev/null && [ $i -lt 50 ]; do sleep 0.1; i=$((i+1)); done; \
                  kill -KILL \"$@\" 2>/dev/null; rm -rf \"$dir\"";
    Command::new("setsid")
        .args(["sh", "-c", script, "ended", &std::process::id().to_string()])
        .arg(dir)
        .args(pids.iter().map(ToString::to_string))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
}
