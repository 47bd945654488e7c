//! `ocelli stack`: NVIDIA's libraries fetched, listed, chosen and removed.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use ocelli_cuda::library::Environment;
use ocelli_cuda::stack::{InstallOptions, Progress, Stack, Stacks, default_packages};
use ocelli_cuda::{Result, paths};
use ocelli_data::with_causes;
use serde::Serialize;
use serde_json::json;

use crate::print;

#[derive(Subcommand)]
pub(crate) enum Action {
    /// Shows the installed stacks; `*` marks the one in use
    List(Output),
    /// Fetches libraries by pip into a stack; the first one is in use at once
    Install {
        /// What to call it; `cuda13` or `cuda12` by default, as the driver demands
        name: Option<String>,
        /// A package, as name or name==version, instead of those that fit the driver; may be repeated
        #[arg(long = "package", value_name = "PACKAGE")]
        packages: Vec<String>,
        #[command(flatten)]
        output: Output,
        /// Further arguments for pip, such as `-- --index-url URL`
        #[arg(last = true, value_name = "PIP ARGUMENTS")]
        pip_arguments: Vec<OsString>,
    },
    /// Makes a stack the one in use (the variable OCELLI_STACK overrides it)
    Use {
        /// The stack
        name: String,
        #[command(flatten)]
        output: Output,
    },
    /// Removes a stack without a trace
    Remove {
        /// The stack
        name: String,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Args)]
pub(crate) struct Output {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// A stack as it is shown.
#[derive(Serialize)]
struct Shown {
    name: String,
    path: String,
    bytes: u64,
    current: bool,
    packages: Vec<Package>,
}

#[derive(Serialize)]
struct Package {
    name: String,
    version: String,
}

impl From<Stack> for Shown {
    fn from(stack: Stack) -> Shown {
        let package = |(name, version)| Package { name, version };
        Shown {
            packages: stack.packages.into_iter().map(package).collect(),
            path: stack.path.to_string_lossy().into_owned(),
            name: stack.name,
            bytes: stack.bytes,
            current: stack.current,
        }
    }
}

/// Does what is asked and says so; fails only when that cannot be written.
pub(crate) fn run(action: &Action) -> io::Result<ExitCode> {
    let stacks = Stacks::here();
    let (output, done) = match action {
        Action::List(output) => (output, list(&stacks, output)),
        Action::Install { name, packages, output, pip_arguments } => {
            let options = InstallOptions { packages: packages.clone(), pip_arguments: pip_arguments.clone() };
            (output, install(&stacks, name.as_deref(), &options, output))
        }
        Action::Use { name, output } => (output, select(&stacks, name, output)),
        Action::Remove { name, output } => (output, remove(&stacks, name, output)),
    };
    match done {
        Ok(written) => written.map(|()| ExitCode::SUCCESS),
        Err(error) => {
            let error = with_causes(&error);
            eprintln!("error: {error}");
            if output.json {
                print(true, &json!({ "error": error }), String::new)?;
            }
            Ok(ExitCode::FAILURE)
        }
    }
}

fn list(stacks: &Stacks, output: &Output) -> Result<io::Result<()>> {
    let shown: Vec<Shown> = stacks.list()?.into_iter().map(Shown::from).collect();
    let directory = directory();
    if let Err(error) = stacks.current() {
        eprintln!("warning: {}", with_causes(&error));
    }
    let object = json!({ "directory": directory.to_string_lossy(), "stacks": shown });
    Ok(print(output.json, &object, || {
        if shown.is_empty() {
            return format!(
                "no stacks in {}; `ocelli stack install` fetches NVIDIA's libraries\n",
                directory.display()
            );
        }
        shown.iter().map(describe).collect()
    }))
}

fn describe(stack: &Shown) -> String {
    let mark = if stack.current { '*' } else { ' ' };
    let mut text = format!("{mark} {}  {}  {}\n", stack.name, size(stack.bytes), stack.path);
    for package in &stack.packages {
        text += &format!("    {} {}\n", package.name, package.version);
    }
    text
}

fn install(
    stacks: &Stacks,
    name: Option<&str>,
    options: &InstallOptions,
    output: &Output,
) -> Result<io::Result<()>> {
    let name = match name {
        Some(name) => name.to_owned(),
        None => default_name()?,
    };
    let installed = stacks.install(&name, options, &mut show());
    if io::stderr().is_terminal() {
        // The line that changed.
        eprint!("\r\x1b[K");
    }
    let stack = Shown::from(installed?);
    Ok(print(output.json, &json!({ "installed": stack }), || {
        let size = size(stack.bytes);
        let next = if stack.current {
            "it is in use".to_owned()
        } else {
            format!("put it to use with `ocelli stack use {name}`")
        };
        format!("installed the stack `{name}` ({size}) in {}; {next}\n", stack.path)
    }))
}

/// `cuda13` or `cuda12`, as the packages that fit the driver are.
fn default_name() -> Result<String> {
    let packages = default_packages(Environment::current().driver())?;
    let cuda12 = packages.iter().any(|package| package.contains("-cu12"));
    Ok(if cuda12 { "cuda12" } else { "cuda13" }.to_owned())
}

/// Shows progress: on a terminal in one line that changes, elsewhere without the growing size.
fn show() -> impl FnMut(Progress<'_>) {
    let terminal = io::stderr().is_terminal();
    move |progress| {
        let mut output = io::stderr().lock();
        // Whether it can be shown decides nothing.
        let _ = match progress {
            Progress::Written { .. } if terminal => write!(output, "\r{progress}\x1b[K"),
            Progress::Written { .. } => Ok(()),
            _ if terminal => writeln!(output, "\r{progress}\x1b[K"),
            _ => writeln!(output, "{progress}"),
        };
        let _ = output.flush();
    }
}

fn select(stacks: &Stacks, name: &str, output: &Output) -> Result<io::Result<()>> {
    stacks.select(name)?;
    if let Some(other) = std::env::var_os("OCELLI_STACK").filter(|other| !other.is_empty() && other != name) {
        eprintln!("warning: OCELLI_STACK is set to {}, which overrides this", other.display());
    }
    Ok(print(output.json, &json!({ "in_use": name }), || {
        format!("the stack `{name}` is in use from the next program on\n")
    }))
}

fn remove(stacks: &Stacks, name: &str, output: &Output) -> Result<io::Result<()>> {
    stacks.remove(name)?;
    Ok(print(output.json, &json!({ "removed": name }), || format!("removed the stack `{name}`\n")))
}

fn directory() -> PathBuf {
    paths::home().join("stacks")
}

fn size(bytes: u64) -> String {
    format!("{} MB", bytes.div_ceil(1_000_000))
}
