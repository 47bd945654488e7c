//! One file from the first of several mirrors that delivers it, verified before it takes its name.

use std::{
    io::{self, Read, Seek, Write},
    path::Path,
    time::Duration,
};

use flate2::read::MultiGzDecoder;
use ocelli_files::file_beside;
use sha2::{Digest, Sha256};

use crate::{Error, Result};

#[cfg(test)]
mod tests;

/// How far the download of one file has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress<'a> {
    /// The file's name.
    pub file: &'a str,
    /// Bytes received so far.
    pub received: u64,
    /// Bytes to receive, where the mirror says so.
    pub total: Option<u64>,
}

/// A published gzip file. It is known by its contents, because mirrors compress the same file differently.
pub(crate) struct RemoteFile {
    /// Its name, appended to a mirror's address and given to the local file.
    pub(crate) name: &'static str,
    /// Size of the contents in bytes, uncompressed.
    pub(crate) size: u64,
    /// SHA-256 of the contents, uncompressed, in hexadecimal.
    pub(crate) sha256: &'static str,
}

/// Downloads `file` into `directory`, which must exist, from the first mirror that delivers it.
///
/// The bytes go to a temporary file beside the final one, which is renamed once the checksum is right and removed
/// otherwise, so that the final name never holds a part or a forgery.
pub(crate) fn download(
    mirrors: &[&str],
    file: &RemoteFile,
    directory: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<()> {
    let mut failure = None;
    for mirror in mirrors {
        let url = format!("{}/{}", mirror.trim_end_matches('/'), file.name);
        match download_from(&url, file, directory, progress) {
            // A directory that cannot be written will not be mended by another mirror.
            done @ (Ok(()) | Err(Error::Io { .. })) => return done,
            Err(error) => {
                tracing::warn!("{error}");
                // What a mirror that answered did wrong tells more than that another could not be reached.
                if matches!(failure, None | Some(Error::NoNetwork { .. })) {
                    failure = Some(error);
                }
            }
        }
    }
    Err(failure.unwrap_or(Error::Missing { directory: directory.into(), file: file.name }))
}

fn download_from(
    url: &str,
    file: &RemoteFile,
    directory: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<()> {
    let path = &directory.join(file.name);
    let io_error = |action| move |source| Error::Io { action, path: path.clone(), source };

    let mut temporary = file_beside(path).map_err(io_error("create"))?;
    receive(url, file, &mut temporary, progress, io_error("write"))?;
    temporary.rewind().map_err(io_error("read"))?;
    let found = contents_sha256(temporary.as_file_mut(), file.size).map_err(io_error("read"))?;
    if found != file.sha256 {
        return Err(Error::Checksum { url: url.into(), expected: file.sha256, found });
    }
    temporary.persist().map_err(io_error("write"))
}

fn receive(
    url: &str,
    file: &RemoteFile,
    mut output: impl Write,
    progress: &mut dyn FnMut(Progress),
    write_error: impl Fn(io::Error) -> Error,
) -> Result<()> {
    let mut response = agent().get(url).call().map_err(|error| {
        let unreachable = is_unreachable(&error);
        let (url, source) = (url.into(), Box::new(error));
        if unreachable { Error::NoNetwork { url, source } } else { Error::Download { url, source } }
    })?;
    let total = response.body().content_length();
    // Gzip never makes data much longer: more than this is not the file, and would only fill the disk.
    let limit = file.size + file.size / 1000 + 1024;
    let mut body = response.body_mut().with_config().limit(limit).reader();

    let mut received = 0;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        progress(Progress { file: file.name, received, total });
        let count = match body.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                return Err(Error::Download { url: url.into(), source: Box::new(error.into()) });
            }
        };
        output.write_all(&buffer[..count]).map_err(&write_error)?;
        received += count as u64;
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .user_agent(concat!("ocelli/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(Duration::from_secs(10)))
        .timeout_recv_response(Some(Duration::from_secs(30)))
        .timeout_recv_body(Some(Duration::from_secs(600)))
        .build()
        .into()
}

/// Whether a request failed before the mirror answered: no name, no route, no connection.
fn is_unreachable(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::HostNotFound
        | ureq::Error::ConnectionFailed
        | ureq::Error::ConnectProxyFailed(_)
        | ureq::Error::Timeout(_) => true,
        // Resolving and connecting fail with many kinds, some unnamed. Invalid data alone is an answer: a certificate
        // that is not trusted.
        ureq::Error::Io(error) => error.kind() != io::ErrorKind::InvalidData,
        _ => false,
    }
}

/// SHA-256 of what a gzip file holds, or the reason why it cannot be uncompressed. Reads at most one byte more than
/// `size`, so that a gzip bomb costs no time.
fn contents_sha256(file: impl Read, size: u64) -> io::Result<String> {
    let mut contents = MultiGzDecoder::new(file).take(size + 1);
    let mut hasher = Sha256::new();
    match io::copy(&mut contents, &mut hasher) {
        Ok(_) => Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
        Err(error) => match error.kind() {
            io::ErrorKind::UnexpectedEof => Ok("a gzip stream that ends early".into()),
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
                Ok(format!("no gzip stream: {error}"))
            }
            _ => Err(error),
        },
    }
}
