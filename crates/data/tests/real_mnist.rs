//! MNIST itself, where `OCELLI_TEST_DATA` was set to a directory that holds `mnist/` when the tests were built.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may fail loudly")]

use std::{env, fs, path::PathBuf};

use ocelli_data::mnist::{self, LabelledImages};
use sha2::{Digest, Sha256};

#[path = "support/server.rs"]
mod server;

fn directory() -> PathBuf {
    PathBuf::from(env::var_os("OCELLI_TEST_DATA").unwrap()).join("mnist")
}

fn histogram(set: &LabelledImages) -> [usize; 10] {
    let mut counts = [0; 10];
    for label in &set.labels {
        counts[usize::from(*label)] += 1;
    }
    counts
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
#[cfg_attr(not(ocelli_test_data), ignore = "needs OCELLI_TEST_DATA")]
fn the_whole_set_is_read() {
    let set = mnist::read(&directory()).unwrap();
    assert_eq!((set.train.count, set.test.count), (60_000, 10_000));
    assert_eq!((set.train.rows, set.train.columns), (28, 28));
    assert_eq!(histogram(&set.train), [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]);
    assert_eq!(histogram(&set.test), [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]);
    assert_eq!(set.train.labels[..10], [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]);
    assert_eq!(sha256(&set.train.images), "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757");
    assert_eq!(sha256(&set.test.images), "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161");
}

#[test]
#[cfg_attr(not(ocelli_test_data), ignore = "needs OCELLI_TEST_DATA")]
fn the_published_files_are_fetched_and_those_present_are_kept() {
    let url = server::serve(|path| {
        let name = path.strip_prefix("/mirror/").unwrap();
        let body = fs::read(directory().join(name)).unwrap();
        server::ok(body.len(), &body)
    });
    let parent = tempfile::tempdir().unwrap();
    let target = parent.path().join("not/there/yet");
    mnist::fetch_from(&[&url], &target, |_| ()).unwrap();
    assert_eq!(mnist::read(&target).unwrap(), mnist::read(&directory()).unwrap());

    let mut fetched = Vec::new();
    fs::remove_file(target.join("t10k-labels-idx1-ubyte.gz")).unwrap();
    mnist::fetch_from(&[&url], &target, |progress| fetched.push(progress.file.to_owned())).unwrap();
    fetched.dedup();
    assert_eq!(fetched, ["t10k-labels-idx1-ubyte.gz"]);
}
