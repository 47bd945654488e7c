//! Compilation by NVRTC and the disk cache of its results: no GPU needed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::SystemTime;

use ocelli_cuda::Error;
use ocelli_cuda::kernel::{KernelCache, KernelSource, compile_cubin, nvrtc_version};

const ARCHITECTURES: [&str; 7] = ["sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120"];

fn kernel(name: &str, source: &str) -> KernelSource {
    KernelSource { name: name.into(), source: source.into(), options: vec![] }
}

fn scale() -> KernelSource {
    kernel(
        "scale",
        r#"extern "C" __global__ void scale(float* y, const float* x, float a, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = a * x[i];
}"#,
    )
}

/// The files of a directory by extension, hidden ones included.
fn files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
}

fn only_entry(cache: &KernelCache) -> PathBuf {
    let entries = files(cache.directory(), "cubin");
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert!(files(cache.directory(), "tmp").is_empty(), "a file written aside was left behind");
    entries.into_iter().next().unwrap()
}

#[test]
#[cfg_attr(not(ocelli_nvrtc), ignore = "needs NVRTC")]
fn compiles_for_every_supported_architecture() {
    assert!(nvrtc_version().unwrap() >= (12, 0));
    for architecture in ARCHITECTURES {
        match compile_cubin(&scale(), architecture) {
            Ok(cubin) => assert!(cubin.starts_with(b"\x7fELF"), "{architecture}: not a cubin"),
            // NVRTC 12.0 does not know the newest.
            Err(error) => assert!(architecture > "sm_1" && nvrtc_version().unwrap() < (12, 8), "{error}"),
        }
    }
}

#[test]
#[cfg_attr(not(ocelli_nvrtc), ignore = "needs NVRTC")]
fn an_error_names_the_kernel_and_shows_the_log_and_the_line() {
    let source = kernel(
        "broken",
        "extern \"C\" __global__ void broken(float* x) {\n    int fine = 1;\n    x[0] = mystery;\n}\n",
    );
    let error = compile_cubin(&source, "sm_90").unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::CompileFailed { .. }), "{text}");
    for part in [
        "`broken`",
        "sm_90",
        "broken(3): error",
        "mystery",
        ">    3 |     x[0] = mystery;",
        "     2 |     int fine = 1;",
    ] {
        assert!(text.contains(part), "{part:?} is missing from:\n{text}");
    }
}

#[test]
#[cfg_attr(not(ocelli_nvrtc), ignore = "needs NVRTC")]
fn bad_architectures_options_and_sources_are_errors() {
    let odd = KernelSource { options: vec!["--no-such-option".into()], ..scale() };
    let cases = [
        (compile_cubin(&scale(), "sm_1"), "sm_1"),
        (compile_cubin(&scale(), "compute_90"), "real architecture"),
        (compile_cubin(&odd, "sm_90"), "no-such-option"),
        (compile_cubin(&kernel("zero", "a\0b"), "sm_90"), "zero byte"),
    ];
    for (result, part) in cases {
        let error = result.unwrap_err();
        assert!(matches!(error, Error::CompileFailed { .. }), "{error:?}");
        assert!(error.to_string().contains(part), "{part:?} is missing from:\n{error}");
    }
}

#[test]
#[cfg_attr(not(ocelli_nvrtc), ignore = "needs NVRTC")]
fn options_reach_the_compiler() {
    let source = kernel("defined", "extern \"C\" __global__ void defined(int* x) { x[0] = VALUE; }");
    assert!(compile_cubin(&source, "sm_90").is_err());
    compile_cubin(&KernelSource { options: vec!["-DVALUE=7".into()], ..source }, "sm_90").unwrap();
}

#[test]
#[cfg_attr(not(ocelli_nvrtc), ignore = "needs NVRTC")]
fn a_second_look_up_reads_the_entry_and_does_not_write_it() {
    let directory = tempfile::tempdir().unwrap();
    let cache = KernelCache::new(directory.path().join("not/there/yet"));
    let first = cache.cubin(&scale(), "sm_90").unwrap();
    let entry = only_entry(&cache);
    assert!(fs::read_to_string(entry.with_extension("cu")).unwrap().ends_with(&scale().source));
    // An old date that a rewritten file would not have.
    fs::File::options().write(true).open(&entry).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(KernelCache::new(cache.directory()).cubin(&scale(), "sm_90").unwrap(), first);
    assert_eq!(fs::metadata(&entry).unwrap().modified().unwrap(), SystemTime::UNIX_EPOCH);
    cache.cubin(&scale(), "sm_80").unwrap();
    assert_eq!(files(cache.directory(), "cubin").len(), 2);
}

#[test]
#[cfg_attr(not(ocelli_nvrtc), ignore = "needs NVRTC")]
fn a_damaged_entry_is_compiled_again() {
    let directory = tempfile::tempdir().unwrap();
    let cache = KernelCache::new(directory.path());
    let sound = cache.cubin(&scale(), "sm_90").unwrap();
    let entry = only_entry(&cache);
    let stored = fs::read(&entry).unwrap();
    let flipped = |at: usize| {
        let mut bytes = stored.clone();
        bytes[at] ^= 0x10;
        bytes
    };
    let damaged = [
        ("empty", vec![]),
        ("cut in the header", stored[..20].to_vec()),
        ("cut by one byte", stored[..stored.len() - 1].to_vec()),
        ("one byte too many", [&stored[..], &[0]].concat()),
        ("another format", flipped(3)),
        ("a bit of the checksum", flipped(20)),
        ("a bit of the cubin", flipped(stored.len() / 2)),
        ("the last bit", flipped(stored.len() - 1)),
    ];
    for (what, bytes) in damaged {
        fs::write(&entry, bytes).unwrap();
        assert_eq!(cache.cubin(&scale(), "sm_90").unwrap(), sound, "{what}");
        assert_eq!(fs::read(only_entry(&cache)).unwrap(), stored, "{what}: not repaired");
    }
}

#[test]
#[cfg_attr(not(ocelli_nvrtc), ignore = "needs NVRTC")]
fn an_entry_under_the_name_of_another_is_not_taken_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let cache = KernelCache::new(directory.path());
    cache.cubin(&scale(), "sm_80").unwrap();
    let other = fs::read(only_entry(&cache)).unwrap();
    fs::remove_file(only_entry(&cache)).unwrap();
    let sound = cache.cubin(&scale(), "sm_90").unwrap();
    fs::write(only_entry(&cache), other).unwrap();
    assert_eq!(cache.cubin(&scale(), "sm_90").unwrap(), sound);
}

/// Counts warnings.
#[derive(Clone, Default)]
struct Warnings(Arc<AtomicUsize>);

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::WARN
    }
    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
#[cfg_attr(not(ocelli_nvrtc), ignore = "needs NVRTC")]
fn a_directory_that_cannot_be_written_costs_only_the_entry() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "in the way").unwrap();
    // A directory below a file: not even root can make it.
    let cache = KernelCache::new(file.join("kernels"));
    let warnings = Warnings::default();
    tracing::subscriber::with_default(warnings.clone(), || {
        assert!(cache.cubin(&scale(), "sm_90").unwrap().starts_with(b"\x7fELF"));
        assert!(cache.cubin(&scale(), "sm_90").is_ok());
    });
    assert_eq!(warnings.0.load(Ordering::SeqCst), 1, "reported once");
    let error = cache.check_writable().unwrap_err();
    assert!(matches!(&error, Error::Io { path, .. } if path == cache.directory()), "{error:?}");
    assert!(error.to_string().contains("kernel cache"), "{error}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "in the way");
}

#[test]
fn a_writable_directory_is_made_and_left_empty() {
    let directory = tempfile::tempdir().unwrap();
    let cache = KernelCache::new(directory.path().join("kernels"));
    cache.check_writable().unwrap();
    assert_eq!(fs::read_dir(cache.directory()).unwrap().count(), 0);
}

#[test]
#[cfg_attr(not(ocelli_nvrtc), ignore = "needs NVRTC")]
fn threads_that_ask_at_once_all_get_the_cubin() {
    let directory = tempfile::tempdir().unwrap();
    let cache = KernelCache::new(directory.path());
    let barrier = Barrier::new(8);
    let cubins: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let ask = || {
            barrier.wait();
            cache.cubin(&scale(), "sm_90").unwrap()
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(cubins.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(cache.cubin(&scale(), "sm_90").unwrap(), cubins[0]);
    only_entry(&cache);
}

/// Where the processes of the next test meet.
const SHARED_DIRECTORY: &str = "OCELLI_TEST_SHARED_DIRECTORY";

#[test]
#[cfg_attr(not(ocelli_nvrtc), ignore = "needs NVRTC")]
fn processes_that_share_a_directory_all_get_the_cubin() {
    let directory = tempfile::tempdir().unwrap();
    let start = || {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "one_of_several_processes", "--ignored"])
            .env(SHARED_DIRECTORY, directory.path())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap()
    };
    let children: Vec<_> = (0..3).map(|_| start()).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
    }
    only_entry(&KernelCache::new(directory.path()));
}

#[test]
#[ignore = "started by processes_that_share_a_directory_all_get_the_cubin"]
fn one_of_several_processes() {
    let Some(directory) = std::env::var_os(SHARED_DIRECTORY) else { return };
    let cache = KernelCache::new(directory);
    let expected = compile_cubin(&scale(), "sm_90").unwrap();
    for _ in 0..20 {
        assert_eq!(cache.cubin(&scale(), "sm_90").unwrap(), expected);
        // Another process may be reading or writing the entry right now.
        for entry in files(cache.directory(), "cubin") {
            let _ = fs::remove_file(entry);
        }
    }
    cache.cubin(&scale(), "sm_90").unwrap();
}
