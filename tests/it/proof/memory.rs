//! Too little memory for one process, so that it is ended for wanting more.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What a process under a bound may take beyond what it has: what it took before stays with the group it was in.
const MORE: u64 = 4 << 20;

/// How the bound was set; taken away when dropped.
pub enum Bound {
    /// A control group: the kernel's out-of-memory killer ends the process.
    Group(PathBuf),
    /// Where there is none to be had, a bound on the address space: the process ends itself.
    Limit,
}

/// Sets the bound. Its group holds nothing but this process.
pub fn bound(pid: u32) -> Bound {
    let name = format!("portcullis-{pid}");
    for (parent, limit) in
        [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")]
    {
        let group = Path::new(parent).join(&name);
        if std::fs::create_dir(&group).is_err() {
            continue;
        }
        let write = |file: &str, value: String| std::fs::write(group.join(file), value);
        // In the second version, swap would only put it off.
        let _ = write("memory.swap.max", "0".to_owned());
        let done = write(limit, MORE.to_string()).and_then(|()| write("cgroup.procs", pid.to_string()));
        if done.is_ok() {
            return Bound::Group(group);
        }
        let _ = std::fs::remove_dir(&group);
    }
    let space = status(pid, "VmSize:") + MORE;
    let words = [format!("--pid={pid}"), format!("--as={space}")];
    assert!(Command::new("prlimit").args(words).status().unwrap().success(), "prlimit");
    Bound::Limit
}

/// A size of `/proc/PID/status`, in bytes.
pub fn status(pid: u32, key: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1024
}

impl Bound {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Group(_) => "the kernel's out-of-memory killer",
            Self::Limit => "a bound on its address space",
        }
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if let Self::Group(group) = self {
            let _ = std::fs::remove_dir(group);
        }
    }
}
