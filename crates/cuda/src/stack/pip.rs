//! Running pip: what it says is read for progress, and kept for the error.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use std::{fs, thread};

use super::Progress;
use crate::error::{Error, Result};
use crate::library::Environment;

/// The commands by which pip may be there.
const COMMANDS: [&[&str]; 5] =
    [&["python3", "-m", "pip"], &["python", "-m", "pip"], &["pip3"], &["pip"], &["uv", "pip"]];
/// How many of pip's last lines an error carries.
const KEPT_LINES: usize = 12;
const POLL: Duration = Duration::from_millis(200);

/// A pip that runs here.
pub(super) struct Pip {
    command: &'static [&'static str],
    /// Where programs are looked for; this process's `PATH` when none.
    path: Option<OsString>,
}

impl Pip {
    /// The first of the commands that works.
    pub(super) fn find(environment: &Environment) -> Result<Pip> {
        let path = environment.variable("PATH").map(OsString::from);
        let works = |pip: &Pip| {
            let mut version = pip.command();
            version.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            version.status().is_ok_and(|status| status.success())
        };
        let mut commands = COMMANDS.into_iter().map(|command| Pip { command, path: path.clone() });
        commands
            .find(works)
            .ok_or_else(|| Error::PipNotFound { tried: COMMANDS.map(|command| command.join(" ")).join(", ") })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.command[0]);
        command.args(&self.command[1..]);
        if let Some(path) = &self.path {
            command.env("PATH", path);
        }
        command
    }

    /// Installs `requirements` into `target`, with everything temporary in `scratch`.
    ///
    /// pip verifies each file's checksum and refuses one whose contents would leave the directory.
    pub(super) fn install(
        &self,
        target: &Path,
        scratch: &Path,
        requirements: &[String],
        arguments: &[OsString],
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<()> {
        let mut command = self.command();
        command.arg("install").arg("--target").arg(target);
        command.args(["--no-deps", "--only-binary", ":all:"]);
        // pip would keep a second copy of a gigabyte, and compile the packages' few scripts.
        command.args(if self.command[0] == "uv" {
            &["--no-cache"][..]
        } else {
            &["--no-cache-dir", "--no-compile", "--no-input"]
        });
        command.args(arguments).args(requirements);
        // Some systems configure pip to install for the user, which excludes a target.
        command.env("PIP_USER", "0").env("TMPDIR", scratch).env("PYTHONUNBUFFERED", "1");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let shown = format!("{} install {}", self.command.join(" "), requirements.join(" "));
        let run = |source| Error::Io { action: "run", path: self.command[0].into(), source };
        let mut child = command.spawn().map_err(run)?;
        let written = || size_of_tree(scratch) + size_of_tree(target);
        let output = follow(&mut child, written, progress);
        let status = child.wait().map_err(run)?;
        if status.success() {
            return Ok(());
        }
        Err(Error::PipFailed { command: shown, status: status.to_string(), output })
    }
}

/// Reports on a pip until it closes its output, and returns the last lines of that.
fn follow(child: &mut Child, written: impl Fn() -> u64, progress: &mut dyn FnMut(Progress<'_>)) -> String {
    let mut last_lines = VecDeque::with_capacity(KEPT_LINES);
    // Both streams end when the process does, so that there is nothing to wait for beyond them.
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        let streams: [Option<Box<dyn io::Read + Send>>; 2] = [
            child.stdout.take().map(|stream| Box::new(stream) as _),
            child.stderr.take().map(|stream| Box::new(stream) as _),
        ];
        for stream in streams.into_iter().flatten() {
            let sender = sender.clone();
            scope.spawn(move || {
                for line in BufReader::new(stream).split(b'\n').map_while(io::Result::ok) {
                    if sender.send(String::from_utf8_lossy(&line).trim().to_owned()).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        loop {
            match receiver.recv_timeout(POLL) {
                Ok(line) => {
                    if let Some((file, bytes)) = download(&line) {
                        progress(Progress::Downloading { file, bytes });
                    } else if line.starts_with("Installing collected packages") {
                        progress(Progress::Unpacking);
                    }
                    if last_lines.len() == KEPT_LINES {
                        last_lines.pop_front();
                    }
                    last_lines.push_back(line);
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    progress(Progress::Written { bytes: written() });
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
        }
    });
    Vec::from(last_lines).join("\n")
}

/// File and bytes of a line such as `Downloading nvidia_cublas-13.1.0.3-py3-none-any.whl (423.1 MB)`.
///
/// pip rounds the size; it is for a progress bar.
fn download(line: &str) -> Option<(&str, u64)> {
    let (file, size) = line.strip_prefix("Downloading ")?.rsplit_once(" (")?;
    let (number, unit) = size.strip_suffix(')')?.split_once(' ')?;
    let scale = match unit {
        "bytes" => 1.0,
        "kB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        _ => return None,
    };
    let bytes = number.parse::<f64>().ok()? * scale;
    Some((file.rsplit('/').next().unwrap_or(file), bytes as u64))
}

/// Bytes of all files below a directory; what vanishes meanwhile counts nothing.
pub(super) fn size_of_tree(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().filter_map(io::Result::ok);
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size_of_tree(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_download_is_recognised_with_its_size() {
        assert_eq!(
            download("Downloading a-1-py3-none-any.whl (366.1 MB)"),
            Some(("a-1-py3-none-any.whl", 366_100_000))
        );
        assert_eq!(download("Downloading https://host/p/a.whl (12 kB)"), Some(("a.whl", 12_000)));
        for line in [
            "Downloading a.whl",
            "Downloading a.whl (big)",
            "Collecting a (1 MB)",
            "Downloading a.whl (x MB)",
        ] {
            assert_eq!(download(line), None, "{line}");
        }
    }
}
