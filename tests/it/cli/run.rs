//! A directory to work in, and what the program says there, with what changes from run to run left out.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::support::{portcullis, root};

/// A directory of its own.
pub struct Place(TempDir);

impl Place {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub fn path(&self, path: &str) -> std::path::PathBuf {
        self.0.path().join(path)
    }

    pub fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.0.path().join(path)).unwrap()
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = portcullis();
        command
            .args(words)
            .current_dir(self.0.path())
            .stdin(Stdio::null())
            .env("NO_COLOR", "1")
            .env_remove("CLICOLOR_FORCE");
        command
    }

    fn output(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// The command, what it says on both streams, and its exit code, which must be this one.
    pub fn run(&self, words: &[&str], code: i32) -> String {
        let output = self.output(words);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "portcullis {}\n{out}{err}", words.join(" "));
        scrub(&format!("$ portcullis {}\n{err}{out}", words.join(" ")))
    }

    /// Standard output as it is, of what reads this.
    pub fn fed(&self, words: &[&str], input: &[u8]) -> String {
        let mut child = self
            .command(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let feeder = std::thread::spawn(move || stdin.write_all(&input));
        let output = child.wait_with_output().unwrap();
        feeder.join().unwrap().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// Standard output as it is.
    pub fn stdout(&self, words: &[&str]) -> String {
        String::from_utf8(self.output(words).stdout).unwrap()
    }

    /// What is said on standard error when nobody reads standard output.
    pub fn closed_pipe(&self, words: &[&str]) -> String {
        let mut child = self.command(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

/// Holds a text against a golden file, or writes it with `UPDATE_GOLDEN=1`.
#[track_caller]
pub fn golden(name: &str, text: &str) {
    let path = root().join("tests/it/golden/cli").join(format!("{name}.txt"));
    let text = text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n") + "\n";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        expected == text,
        "{} is not what is printed (UPDATE_GOLDEN=1 writes it anew):\n{text}",
        path.display()
    );
}

/// Ids, times and digests change from run to run.
pub fn scrub(text: &str) -> String {
    text.lines().map(|line| scrub_line(line) + "\n").collect()
}

fn scrub_line(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let scrubbed = words.iter().enumerate().map(|(at, word)| {
        let next = words.get(at + 1).copied().unwrap_or_default().trim_end_matches([',', '.']);
        if matches!(next, "µs" | "s") && word.parse::<f64>().is_ok() {
            "N".to_owned()
        } else {
            scrub_word(word)
        }
    });
    scrubbed.collect::<Vec<_>>().join(" ")
}

fn scrub_word(word: &str) -> String {
    let hex = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let id = |text: &str| {
        text.len() == 36 && text.split('-').map(str::len).eq([8, 4, 4, 4, 12]) && text.split('-').all(hex)
    };
    let revision = |text: &str| {
        text.split_once('/')
            .is_some_and(|(law, world)| law.len() == 8 && hex(law) && world.parse::<u64>().is_ok())
    };
    if id(word) {
        "ID".to_owned()
    } else if revision(word) || (word.len() == 64 && hex(word)) {
        "REVISION".to_owned()
    } else {
        word.to_owned()
    }
}
