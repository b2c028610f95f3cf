//! `git two-key`: arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    git_two_key::cli::run(std::env::args_os())
}
