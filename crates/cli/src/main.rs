//! The `ocelli` program: `doctor` says whether the library can run on a machine, `stack` manages NVIDIA's libraries,
//! `coco` works with the labels of object detection, `dataset` prepares image files for training, `bench-loader` says
//! whether they come fast enough.

mod bench_loader;
mod coco;
mod dataset;
mod doctor;
mod image_set;
mod picture;
mod stack;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use serde::Serialize;

/// GPU-only deep learning for vision.
#[derive(Parser)]
#[command(name = "ocelli", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Says what this machine has of what Ocelli needs, what is picked and why; succeeds if Ocelli can run here
    Doctor(doctor::Options),
    /// Image files prepared for training
    #[command(subcommand)]
    Dataset(dataset::Action),
    /// Whether a network gets its images fast enough here, and what holds them back
    BenchLoader(bench_loader::Options),
    /// NVIDIA's libraries in a directory of Ocelli's own, without root and without a toolkit
    #[command(subcommand)]
    Stack(stack::Action),
    /// Labels of object detection: import, export, evaluation, statistics, pictures; needs no GPU
    #[command(subcommand)]
    Coco(coco::Action),
}

fn main() -> ExitCode {
    let written = match Arguments::parse().command {
        Command::Doctor(options) => doctor::run(&options),
        Command::Dataset(action) => dataset::run(&action),
        Command::BenchLoader(options) => bench_loader::run(&options),
        Command::Stack(action) => stack::run(&action),
        Command::Coco(action) => coco::run(&action),
    };
    written.unwrap_or_else(|error| match error.kind() {
        // A reader that went away, as `head` does, has all that it wanted.
        io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        _ => {
            eprintln!("error: cannot write to standard output: {error}");
            ExitCode::FAILURE
        }
    })
}

/// Prints one JSON object, or text that ends in a new line. That its reader went away is no error, so that the command still
/// ends as it would have.
fn print(json: bool, value: &impl Serialize, text: impl FnOnce() -> String) -> io::Result<()> {
    match write_all(json, value, text) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

fn write_all(json: bool, value: &impl Serialize, text: impl FnOnce() -> String) -> io::Result<()> {
    let mut output = io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut output, value)?;
        writeln!(output)?;
    } else {
        output.write_all(text().as_bytes())?;
    }
    // What is left unwritten at the end of the program is lost without a word.
    output.flush()
}
