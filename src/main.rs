//! The program: sets the allocator and the TLS crypto provider, and runs the command line.

use std::ffi::OsString;
use std::process::ExitCode;

/// Decodes a review in two thirds of the time of glibc's allocator; musl's is slower still with threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long the allocator keeps freed memory, in milliseconds. The default is one second, in which hostile reviews can free
/// more memory than a gate may use. The allocator reads the variable before `main`, so a server without it restarts itself.
const PURGE_DELAY: (&str, &str) = ("MIMALLOC_PURGE_DELAY", "0");

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    let is_serve = args.get(1).is_some_and(|command| command == "serve");
    if is_serve && std::env::var_os(PURGE_DELAY.0).is_none() {
        restart(&args);
    }
    // An error means that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    portcullis::cli::run(args)
}

/// Replaces this process by the same program with the allocator's setting. Returns only if that fails.
#[cfg(unix)]
fn restart(args: &[OsString]) {
    use std::os::unix::process::CommandExt as _;

    let Ok(program) = std::env::current_exe() else { return };
    let mut command = std::process::Command::new(program);
    if let Some(name) = args.first() {
        command.arg0(name);
    }
    // `exec` returns only an error, and the server works without the setting.
    let _ = command.args(args.iter().skip(1)).env(PURGE_DELAY.0, PURGE_DELAY.1).exec();
}

#[cfg(not(unix))]
fn restart(_: &[OsString]) {}

#[cfg(test)]
mod tests {
    #[test]
    fn command_line_definition_is_valid() {
        use clap::CommandFactory as _;
        portcullis::cli::Cli::command().debug_assert();
    }
}
