//! Every way in which a download fails, against a server of our own: each gives its error and leaves nothing behind.

use std::{fs, io::Write, net::TcpListener};

use flate2::{Compression, write::GzEncoder};
use tempfile::TempDir;

use super::{Progress, RemoteFile, download};
use crate::Error;

#[path = "../../tests/support/server.rs"]
mod server;
use server::{ok, serve};

const CONTENTS: &[u8] = b"sixteen bytes...";
const FILE: RemoteFile = RemoteFile {
    name: "file.gz",
    size: CONTENTS.len() as u64,
    sha256: "0f1442166d84cb72f5a6f29b63c4e82469086e7d5ebae3082c53050b5c8eb9ae",
};

fn gzip(contents: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(contents).unwrap();
    encoder.finish().unwrap()
}

/// A mirror that answers every request with `response`.
fn mirror(response: Vec<u8>) -> String {
    serve(move |_| response.clone())
}

/// A mirror at a port where nobody listens.
fn unreachable_mirror() -> String {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    format!("http://127.0.0.1:{port}/mirror")
}

/// What downloading from the mirrors returns, having checked that a failure leaves the directory empty.
fn fetch(mirrors: &[String]) -> (Result<(), Error>, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let mirrors: Vec<_> = mirrors.iter().map(String::as_str).collect();
    let result = download(&mirrors, &FILE, directory.path(), &mut |_| ());
    let left: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    match result {
        Ok(()) => assert_eq!(left, [FILE.name]),
        Err(_) => assert!(left.is_empty(), "{left:?}"),
    }
    (result, directory)
}

#[test]
fn a_verified_file_gets_its_name_and_progress_is_told() {
    let body = gzip(CONTENTS);
    let length = body.len() as u64;
    let response = ok(body.len(), &body);
    let url = serve(move |path| {
        assert_eq!(path, "/mirror/file.gz");
        response.clone()
    });
    let directory = tempfile::tempdir().unwrap();
    let mut reports = Vec::new();
    let mut progress = |progress: Progress| reports.push((progress.received, progress.total));
    download(&[&url], &FILE, directory.path(), &mut progress).unwrap();
    assert_eq!(reports.first(), Some(&(0, Some(length))));
    assert_eq!(reports.last(), Some(&(length, Some(length))));
    assert_eq!(fs::read(directory.path().join(FILE.name)).unwrap(), body);
}

#[cfg(unix)]
#[test]
fn a_downloaded_file_is_not_private() {
    use std::os::unix::fs::PermissionsExt;
    let body = gzip(CONTENTS);
    let (result, directory) = fetch(&[mirror(ok(body.len(), &body))]);
    result.unwrap();
    let plain = directory.path().join("plain");
    fs::write(&plain, "").unwrap();
    let mode = |path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(directory.path().join(FILE.name)), mode(plain));
}

#[test]
fn another_compression_of_the_same_contents_is_accepted() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
    encoder.write_all(CONTENTS).unwrap();
    let body = encoder.finish().unwrap();
    fetch(&[mirror(ok(body.len(), &body))]).0.unwrap();
}

#[test]
fn other_contents_are_refused() {
    let body = gzip(b"sixteen bytes!!!");
    let error = fetch(&[mirror(ok(body.len(), &body))]).0.unwrap_err();
    let Error::Checksum { expected, found, .. } = error else { panic!("{error}") };
    assert_eq!((expected, found.len()), (FILE.sha256, 64));
}

#[test]
fn contents_with_something_appended_are_refused() {
    let body = gzip(&[CONTENTS, &[0; 100]].concat());
    let error = fetch(&[mirror(ok(body.len(), &body))]).0.unwrap_err();
    assert!(matches!(error, Error::Checksum { .. }), "{error}");
}

#[test]
fn a_page_instead_of_a_gzip_file_is_refused() {
    let body = b"<html>Log in to this network</html>";
    let error = fetch(&[mirror(ok(body.len(), body))]).0.unwrap_err();
    assert!(error.to_string().contains("no gzip stream"), "{error}");
}

#[test]
fn a_connection_cut_short_is_an_error() {
    let body = gzip(CONTENTS);
    let error = fetch(&[mirror(ok(body.len(), &body[..10]))]).0.unwrap_err();
    assert!(matches!(error, Error::Download { .. }), "{error}");
}

#[test]
fn a_file_cut_short_is_refused() {
    let body = gzip(CONTENTS);
    let error = fetch(&[mirror(ok(body.len() - 5, &body[..body.len() - 5]))]).0.unwrap_err();
    assert!(error.to_string().contains("ends early"), "{error}");
}

#[test]
fn an_endless_body_is_cut_off() {
    let error = fetch(&[mirror(ok(1 << 20, &vec![0; 1 << 20]))]).0.unwrap_err();
    assert!(matches!(error, Error::Download { .. }), "{error}");
}

#[test]
fn a_missing_page_is_an_error_that_names_it() {
    let url = mirror(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec());
    let error = fetch(&[url]).0.unwrap_err();
    assert!(matches!(error, Error::Download { .. }), "{error}");
    let message = error.to_string();
    assert!(message.contains("/mirror/file.gz") && message.contains("404"), "{message}");
}

#[test]
fn a_refused_connection_and_an_unknown_host_are_no_network() {
    for url in [unreachable_mirror(), "http://mirror.invalid".into()] {
        let error = fetch(&[url]).0.unwrap_err();
        assert!(matches!(error, Error::NoNetwork { .. }), "{error}");
        assert!(error.to_string().starts_with("no network"), "{error}");
    }
}

#[test]
fn the_next_mirror_serves_where_the_first_does_not() {
    let body = gzip(CONTENTS);
    let wrong = gzip(b"something else");
    fetch(&[unreachable_mirror(), mirror(ok(wrong.len(), &wrong)), mirror(ok(body.len(), &body))]).0.unwrap();
}

#[test]
fn a_mirror_that_answers_wrongly_is_told_before_one_that_is_unreachable() {
    let wrong = gzip(b"something else");
    let mirrors = [unreachable_mirror(), mirror(ok(wrong.len(), &wrong)), unreachable_mirror()];
    let error = fetch(&mirrors).0.unwrap_err();
    assert!(matches!(error, Error::Checksum { .. }), "{error}");
}

#[test]
fn a_directory_that_cannot_be_written_is_an_error_before_anything_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    // A file in the directory's place: permissions would not keep root from writing.
    let not_a_directory = directory.path().join("file");
    fs::write(&not_a_directory, "").unwrap();
    let url = serve(|_| panic!("asked before the directory was tried"));
    let error = download(&[&url], &FILE, &not_a_directory, &mut |_| ()).unwrap_err();
    let Error::Io { action, path, .. } = error else { panic!("{error}") };
    assert_eq!((action, path), ("create", not_a_directory.join(FILE.name)));
}

#[test]
fn no_mirrors_is_an_error() {
    assert!(matches!(fetch(&[]).0, Err(Error::Missing { .. })));
}
