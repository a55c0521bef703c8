//! The binary: arguments in, one verb of the toolkit called, its report rendered, an exit code out.
//!
//! Data goes to standard output, talk to standard error. Exit codes: 0 ok; 1 it ran and the answer is no; the others
//! are those of [`tranship_connector::ErrorKind::exit_code`]. A broken pipe is success.

mod args;
mod described;
mod progress;
mod reembed;
mod render;
mod verbs;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Cli;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { 2 } else { 0 };
            // Help that cannot be printed (a closed pipe) is nobody's trouble.
            let _printed = error.print();
            return ExitCode::from(code);
        }
    };
    let json = cli.common.json;
    match verbs::run(cli) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            if render::is_broken_pipe(&error) {
                return ExitCode::SUCCESS;
            }
            render::error(&error, json);
            ExitCode::from(error.kind().exit_code())
        }
    }
}
