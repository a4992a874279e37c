//! An allocator, a crypto provider, one call, an exit code.

use std::ffi::OsString;
use std::process::ExitCode;

/// A third less time per decoded review than with glibc's, and musl's would be slower still under threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long the allocator keeps memory that is free, in milliseconds; it reads this before `main`, so a server that finds
/// none begins once more. By default that is a second, in which hostile reviews free more than a gate may take.
const PURGE_DELAY: (&str, &str) = ("MIMALLOC_PURGE_DELAY", "0");

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    let serves = args.get(1).is_some_and(|command| command == "serve");
    if serves && std::env::var_os(PURGE_DELAY.0).is_none() {
        begin_again(&args);
    }
    // An error says that there is a provider already, which is all that is wanted.
    let _ = rustls::crypto::ring::default_provider().install_default();
    portcullis::cli::run(args)
}

/// Runs the same program in this process, with the allocator's setting. Comes back where that is not possible.
#[cfg(unix)]
fn begin_again(args: &[OsString]) {
    use std::os::unix::process::CommandExt as _;

    let Ok(program) = std::env::current_exe() else { return };
    let mut again = std::process::Command::new(program);
    if let Some(name) = args.first() {
        again.arg0(name);
    }
    // What comes back is an error, and the server is good without the setting.
    let _ = again.args(args.iter().skip(1)).env(PURGE_DELAY.0, PURGE_DELAY.1).exec();
}

#[cfg(not(unix))]
fn begin_again(_: &[OsString]) {}

#[cfg(test)]
mod tests {
    #[test]
    fn verify_cli() {
        use clap::CommandFactory as _;
        portcullis::cli::Cli::command().debug_assert();
    }
}
