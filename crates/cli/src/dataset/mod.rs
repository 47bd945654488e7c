//! `ocelli dataset`: image files prepared for training.

mod pack;

use std::io;
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;

use crate::print;

#[derive(Subcommand)]
pub(crate) enum Action {
    /// Packs the images of class folders into one file, which training reads without opening each
    Pack(pack::Options),
}

/// Does what is asked and says so; fails only when that cannot be written.
pub(crate) fn run(action: &Action) -> io::Result<ExitCode> {
    let Action::Pack(options) = action;
    match pack::run(options) {
        Ok(packed) => {
            print(options.json, &packed, || packed.to_string())?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            // With what caused it.
            let error = error.to_string();
            eprintln!("error: {error}");
            if options.json {
                print(true, &json!({ "error": error }), String::new)?;
            }
            Ok(ExitCode::FAILURE)
        }
    }
}
