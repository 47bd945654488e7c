//! Two versions of cuDNN on one machine: the one asked for runs, and nothing of the other is loaded.
//!
//! The loader reads `LD_LIBRARY_PATH` when a process starts, so each case runs this program again as a child.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod fake_library;

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use fake_library::{Tree, asking, returning};
use ocelli_cuda::library::{Library, mapped, open};

/// Set in a child: the function to call.
const CHILD: &str = "OCELLI_TEST_CALL";

#[test]
#[ignore = "what the others run in a child process, no test of its own"]
fn child() {
    let Ok(function) = env::var(CHILD) else { return };
    match open(Library::Cudnn) {
        Err(error) => println!("refused: {error}"),
        Ok(opened) => {
            // SAFETY: the functions that these tests call take nothing and return a number.
            let function: unsafe extern "C" fn() -> usize = unsafe { opened.symbol(&function) }.unwrap();
            // SAFETY: as above.
            println!("returned: {}", unsafe { function() });
        }
    }
    for library in [Library::Cudnn, Library::CublasLt, Library::Nvrtc] {
        mapped(library).iter().for_each(|path| println!("mapped: {}", path.display()));
    }
}

/// What a child says: its result, and the files it has mapped.
fn run(function: &str, variables: &[(&str, &Path)]) -> (String, Vec<PathBuf>) {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "child", "--ignored", "--nocapture", "--test-threads=1"]).env(CHILD, function);
    for name in ocelli_cuda::library::VARIABLES {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied());
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let said = |key: &str| -> Vec<String> {
        let lines = text.lines().filter_map(|line| Some(line.split_once(key)?.1.to_owned()));
        lines.collect()
    };
    let result = [said("returned: "), said("refused: ")].concat().join("");
    (result, said("mapped: ").into_iter().map(PathBuf::from).collect())
}

/// The files of cuDNN among those mapped: where a real NVRTC is installed, parts of it are mapped too.
fn parts(mapped: &[PathBuf]) -> Vec<&PathBuf> {
    let is_part =
        |path: &&PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libcudnn"));
    mapped.iter().filter(is_part).collect()
}

/// A cuDNN whose front asks its graph part, which asks cuBLASLt and NVRTC's built-ins, each by bare name.
fn fake_cudnn(tree: &Tree, directory: &str, version: u32, run_path: bool) -> PathBuf {
    let library = |name: &str, source: String| {
        let file = format!("{directory}/{name}");
        if run_path { tree.library(&file, &source) } else { tree.library_without_run_path(&file, &source) }
    };
    library(
        "libcudnn_graph.so.9",
        returning("graph", version) + &asking("blas", "libcublasLt.so.13", "blas_version"),
    );
    library(
        "libcudnn.so.9",
        asking("version", "libcudnn_graph.so.9", "graph")
            + &asking("blas_version_through_graph", "libcudnn_graph.so.9", "blas")
            + &asking("builtins", "libnvrtc-builtins.so.13.0", "builtins_version"),
    );
    tree.path(directory)
}

#[test]
fn the_one_asked_for_runs_though_another_stands_in_the_loaders_path() {
    for run_path in [true, false] {
        let tree = Tree::new();
        let asked = fake_cudnn(&tree, "wheel/nvidia/cudnn/lib", 91900, run_path);
        let other = fake_cudnn(&tree, "system", 91400, run_path);
        let (result, mapped) = run("version", &[("OCELLI_CUDNN", &asked), ("LD_LIBRARY_PATH", &other)]);
        assert_eq!(result, "91900", "run path: {run_path}");
        assert!(
            parts(&mapped).len() == 2 && parts(&mapped).iter().all(|path| path.starts_with(&asked)),
            "{mapped:?}"
        );
        // And the other way round, so that the case above tells something.
        let (result, mapped) = run("version", &[("OCELLI_CUDNN", &other), ("LD_LIBRARY_PATH", &asked)]);
        assert_eq!(result, "91400");
        assert!(parts(&mapped).iter().all(|path| path.starts_with(&other)), "{mapped:?}");
    }
}

#[test]
fn the_loaders_path_alone_serves_too() {
    let tree = Tree::new();
    let directory = fake_cudnn(&tree, "system", 91400, true);
    let (result, mapped) = run("version", &[("LD_LIBRARY_PATH", &directory)]);
    assert_eq!(result, "91400");
    assert!(parts(&mapped).iter().all(|path| path.starts_with(&directory)), "{mapped:?}");
}

#[test]
fn cudnn_gets_the_cublaslt_that_serves_us() {
    let tree = Tree::new();
    let cudnn = fake_cudnn(&tree, "cudnn", 91900, true);
    let ours = tree.library("ours/libcublasLt.so.13", &returning("blas_version", 1));
    let other = tree.library("other/libcublasLt.so.13", &returning("blas_version", 2));
    let call = |variables: &[(&str, &Path)]| {
        let variables = [&[("OCELLI_CUDNN", cudnn.as_path())], variables].concat();
        run("blas_version_through_graph", &variables)
    };
    // It would find another one.
    let (result, mapped) = call(&[("OCELLI_CUBLASLT", &ours), ("LD_LIBRARY_PATH", other.parent().unwrap())]);
    assert_eq!(result, "1");
    assert!(mapped.contains(&ours) && !mapped.contains(&other), "{mapped:?}");
    // It would find none.
    assert_eq!(call(&[("OCELLI_CUBLASLT", &ours)]).0, "1");
    // It would find the same: nothing is loaded ahead of need.
    let beside = [("OCELLI_CUDNN", cudnn.as_path()), ("LD_LIBRARY_PATH", ours.parent().unwrap())];
    let (_, mapped) = run("version", &beside);
    assert!(!mapped.contains(&ours), "{mapped:?}");
    assert_eq!(run("blas_version_through_graph", &beside).0, "1");
    // There is none.
    assert_eq!(call(&[]).0, "0");
}

#[test]
fn the_compilers_built_ins_are_there_for_cudnn() {
    let tree = Tree::new();
    let cudnn = fake_cudnn(&tree, "cudnn", 91900, true);
    let nvrtc = tree.library_without_run_path("cu13/libnvrtc.so.13", &returning("nvrtc", 1));
    tree.library_without_run_path("cu13/libnvrtc-builtins.so.13.0", &returning("builtins_version", 130));
    let (result, _) = run("builtins", &[("OCELLI_CUDNN", &cudnn), ("OCELLI_NVRTC", &nvrtc)]);
    assert_eq!(result, "130");
}

#[test]
fn a_part_that_is_damaged_is_named() {
    let tree = Tree::new();
    let cudnn = fake_cudnn(&tree, "cudnn", 91900, true);
    fake_library::truncate(&cudnn.join("libcudnn_graph.so.9"));
    let (result, _) = run("version", &[("OCELLI_CUDNN", &cudnn)]);
    assert!(result.contains("cannot be used") && result.contains("libcudnn_graph.so.9"), "{result}");
}

#[test]
fn of_a_copy_that_is_passed_over_nothing_stays() {
    let tree = Tree::new();
    let damaged = fake_cudnn(&tree, "toolkit/lib64", 91900, true);
    fake_library::truncate(&damaged.join("libcudnn.so.9"));
    let good = fake_cudnn(&tree, "loader", 91400, true);
    let (result, mapped) =
        run("version", &[("CUDA_HOME", &tree.path("toolkit")), ("LD_LIBRARY_PATH", &good)]);
    assert_eq!(result, "91400");
    assert!(
        parts(&mapped).len() == 2 && parts(&mapped).iter().all(|path| path.starts_with(&good)),
        "{mapped:?}"
    );
}

#[test]
#[ignore = "needs a cuDNN in the loader's path, and OCELLI_TEST_OTHER_CUDNN to name the directory of another"]
fn a_real_cudnn_beside_the_systems_keeps_to_itself() {
    let directory = env::var_os("OCELLI_TEST_OTHER_CUDNN").expect("OCELLI_TEST_OTHER_CUDNN is not set");
    let directory = std::fs::canonicalize(directory).unwrap();
    let path = env::var_os("LD_LIBRARY_PATH").map(PathBuf::from).unwrap_or_default();
    let (result, mapped) =
        run("cudnnGetVersion", &[("OCELLI_CUDNN", &directory), ("LD_LIBRARY_PATH", &path)]);
    assert!(result.starts_with('9'), "{result}");
    let foreign: Vec<_> = mapped
        .iter()
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libcudnn")))
        .filter(|path| path.parent() != Some(&directory))
        .collect();
    assert!(!mapped.is_empty() && foreign.is_empty(), "{foreign:?}");
}
