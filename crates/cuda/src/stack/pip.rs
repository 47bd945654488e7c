//! Running pip: what it says is read for progress, and kept for the error.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use std::{fs, thread};

use super::Progress;
use crate::error::{Error, Result};

/// The commands by which pip may be there.
const COMMANDS: [&[&str]; 5] =
    [&["python3", "-m", "pip"], &["python", "-m", "pip"], &["pip3"], &["pip"], &["uv", "pip"]];
/// How many of pip's last lines an error carries.
const KEPT_LINES: usize = 12;
const POLL: Duration = Duration::from_millis(200);

/// Installs `requirements` into `target`, with everything temporary in `scratch`.
///
/// pip verifies each file's checksum and refuses one whose contents would leave the directory.
pub(super) fn install(
    target: &Path,
    scratch: &Path,
    requirements: &[String],
    arguments: &[OsString],
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<()> {
    let pip = find()?;
    let mut command = Command::new(pip[0]);
    command.args(&pip[1..]).arg("install").arg("--target").arg(target);
    command.args(["--no-deps", "--only-binary", ":all:"]);
    // pip would keep a second copy of a gigabyte, and compile the packages' few scripts.
    command.args(if pip[0] == "uv" {
        &["--no-cache"][..]
    } else {
        &["--no-cache-dir", "--no-compile", "--no-input"]
    });
    command.args(arguments).args(requirements);
    command.env("TMPDIR", scratch).env("PYTHONUNBUFFERED", "1");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());

    let shown = format!("{} install {}", pip.join(" "), requirements.join(" "));
    let run = |source| Error::Io { action: "run", path: pip[0].into(), source };
    let mut child = command.spawn().map_err(run)?;
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
                    progress(Progress::Written { bytes: size_of_tree(scratch) + size_of_tree(target) });
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
        }
    });
    let status = child.wait().map_err(run)?;
    if status.success() {
        return Ok(());
    }
    Err(Error::PipFailed {
        command: shown,
        status: status.to_string(),
        output: Vec::from(last_lines).join("\n"),
    })
}

/// The first of the commands that works.
fn find() -> Result<&'static [&'static str]> {
    let works = |command: &&&[&str]| {
        let mut run = Command::new(command[0]);
        run.args(&command[1..])
            .arg("--version")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        run.status().is_ok_and(|status| status.success())
    };
    COMMANDS
        .iter()
        .find(works)
        .copied()
        .ok_or_else(|| Error::PipNotFound { tried: COMMANDS.map(|command| command.join(" ")).join(", ") })
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
