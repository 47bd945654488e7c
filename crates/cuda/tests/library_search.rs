//! Which files are considered for a library, in which order, and what is said when none will do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod fake_library;

use std::path::{Path, PathBuf};

use fake_library::{Tree, returning, truncate};
use ocelli_cuda::Error;
use ocelli_cuda::library::{Environment, Found, Library, Origin, candidates_in, open_in};

fn paths(found: &[Found]) -> Vec<PathBuf> {
    found.iter().map(|found| found.path.clone()).collect()
}

fn number(environment: &Environment, library: Library, function: &str) -> Result<u64, Error> {
    let opened = open_in(environment, library)?;
    // SAFETY: the functions of these tests take nothing and return a number.
    let function: unsafe extern "C" fn() -> u64 = unsafe { opened.symbol(function)? };
    // SAFETY: as above.
    Ok(unsafe { function() })
}

/// The rules in their order: what is found by each, and where it lies.
fn rules(tree: &Tree) -> (Environment, Vec<(Origin, &'static str)>) {
    let environment = Environment::new(tree.root())
        .with("OCELLI_HOME", tree.path("home"))
        .with("OCELLI_STACK", "mine")
        .with("CUDA_HOME", tree.path("toolkit"))
        .with("CUDA_PATH", tree.path("other-toolkit"))
        .with("CONDA_PREFIX", tree.path("conda"))
        .with("VIRTUAL_ENV", tree.path("venv"))
        .with("LD_LIBRARY_PATH", tree.path("loader/path"))
        .with("HOME", tree.path("user"))
        .with_loaded(tree.path("loaded/libnvrtc.so.13"));
    let rules = vec![
        (Origin::Stack("mine".to_owned()), "home/stacks/mine/nvidia/cu13/lib/libnvrtc.so.13"),
        (Origin::Loaded, "loaded/libnvrtc.so.13"),
        (Origin::Toolkit("CUDA_HOME"), "toolkit/lib64/libnvrtc.so.13"),
        (Origin::Toolkit("CUDA_HOME"), "toolkit/targets/x86_64-linux/lib/libnvrtc.so.12"),
        (Origin::Toolkit("CUDA_PATH"), "other-toolkit/lib/libnvrtc.so.12"),
        (Origin::Conda, "conda/lib/libnvrtc.so.13"),
        (Origin::Conda, "conda/lib/python3.12/site-packages/nvidia/cuda_nvrtc/lib/libnvrtc.so.12"),
        (Origin::VirtualEnv, "venv/lib/python3.12/site-packages/nvidia/cu13/lib/libnvrtc.so.13"),
        (Origin::VirtualEnv, "venv/lib/python3.9/site-packages/nvidia/cu13/lib/libnvrtc.so.13"),
        (Origin::LoaderPath, "loader/path/libnvrtc.so.12"),
        (Origin::System, "usr/lib/x86_64-linux-gnu/libnvrtc.so.12"),
        (Origin::System, "usr/local/nvidia/lib64/libnvrtc.so.12"),
        (Origin::Installed, "usr/local/cuda/lib64/libnvrtc.so.13"),
        (Origin::Installed, "usr/local/cuda-13.0/lib64/libnvrtc.so.13"),
        (Origin::Installed, "usr/local/cuda-12.10/lib64/libnvrtc.so.12"),
        (Origin::Installed, "usr/local/cuda-12.9/lib64/libnvrtc.so.12"),
        (Origin::Python, "user/.local/lib/python3.11/site-packages/nvidia/cu13/lib/libnvrtc.so.13"),
        (Origin::Python, "usr/local/lib/python3.11/dist-packages/nvidia/cu13/lib/libnvrtc.so.13"),
    ];
    (environment, rules)
}

#[test]
#[cfg_attr(not(target_arch = "x86_64"), ignore = "the names of directories are those of x86-64")]
fn every_rule_finds_its_file_in_the_stated_order() {
    let tree = Tree::new();
    let (environment, rules) = rules(&tree);
    for (_, file) in &rules {
        tree.file(file);
    }
    let found = candidates_in(&environment, Library::Nvrtc);
    let expected: Vec<_> = rules.iter().map(|(origin, file)| (origin.clone(), tree.path(file))).collect();
    let got: Vec<_> = found.into_iter().map(|found| (found.origin, found.path)).collect();
    assert_eq!(got, expected);
}

#[test]
#[cfg_attr(not(target_arch = "x86_64"), ignore = "the names of directories are those of x86-64")]
fn every_rule_works_alone() {
    for index in 0..rules(&Tree::new()).1.len() {
        let tree = Tree::new();
        let (environment, rules) = rules(&tree);
        std::fs::create_dir_all(tree.path("home/stacks/mine")).unwrap();
        let (origin, file) = &rules[index];
        let path = tree.file(file);
        let found = candidates_in(&environment, Library::Nvrtc);
        assert_eq!(paths(&found), [path], "{file}");
        assert_eq!(found[0].origin, *origin);
    }
}

#[test]
fn one_file_under_several_names_is_one_candidate_of_the_first_rule() {
    let tree = Tree::new();
    let file = tree.file("usr/local/cuda-13.0/lib64/libnvrtc.so.13.0.88");
    std::os::unix::fs::symlink("libnvrtc.so.13.0.88", tree.path("usr/local/cuda-13.0/lib64/libnvrtc.so.13"))
        .unwrap();
    std::os::unix::fs::symlink("cuda-13.0", tree.path("usr/local/cuda")).unwrap();
    let environment = Environment::new(tree.root()).with("CUDA_HOME", tree.path("usr/local/cuda"));
    let found = candidates_in(&environment, Library::Nvrtc);
    assert_eq!(paths(&found), [file]);
    assert_eq!(found[0].origin, Origin::Toolkit("CUDA_HOME"));
    assert_eq!(found[0].version.as_deref(), Some("13.0.88"));
}

#[test]
fn the_active_python_on_the_path_counts_as_an_environment_and_no_other_does() {
    let tree = Tree::new();
    let file = tree.file("venv/lib/python3.12/site-packages/nvidia/cudnn/lib/libcudnn.so.9");
    tree.file("venv/bin/python3");
    let environment = Environment::new(tree.root()).with("PATH", tree.path("venv/bin"));
    assert!(candidates_in(&environment, Library::Cudnn).is_empty());
    tree.file("venv/pyvenv.cfg");
    assert_eq!(paths(&candidates_in(&environment, Library::Cudnn)), [file]);
}

#[test]
fn versions_are_told_by_names_wheels_and_headers() {
    let tree = Tree::new();
    let site = "venv/lib/python3.12/site-packages";
    let version = |library: Library, file: &str| {
        let path = tree.file(file);
        let environment = Environment::new("/nowhere").with(library.variable(), path);
        candidates_in(&environment, library)[0].version.clone()
    };
    for wheel in [
        "nvidia_cudnn_cu13-9.19.0.56",
        "nvidia_cuda_nvrtc-13.0.88",
        "nvidia_cuda_nvrtc_cu12-12.8.93",
        "nvidia_cudnn_frontend-1.2",
    ] {
        tree.file(&format!("{site}/{wheel}.dist-info/METADATA"));
    }
    let at = |file: &str| format!("{site}/nvidia/{file}");
    assert_eq!(version(Library::Cudnn, &at("cudnn/lib/libcudnn.so.9")).as_deref(), Some("9.19.0.56"));
    assert_eq!(version(Library::Nvrtc, &at("cu13/lib/libnvrtc.so.13")).as_deref(), Some("13.0.88"));
    assert_eq!(version(Library::Nvrtc, &at("cuda_nvrtc/lib/libnvrtc.so.12")).as_deref(), Some("12.8.93"));
    assert_eq!(version(Library::Cuda, "lib/libcuda.so.580.95.05").as_deref(), Some("580.95.05"));
    assert_eq!(version(Library::Nccl, "lib/libnccl.so.2"), None);
    tree.write(
        "opt/include/cudnn_version.h",
        "#define CUDNN_MAJOR 9\n#define CUDNN_MINOR 14\n#define CUDNN_PATCHLEVEL 1\n",
    );
    assert_eq!(version(Library::Cudnn, "opt/lib/libcudnn.so.9").as_deref(), Some("9.14.1"));
    tree.file("cuda/lib64/libnvrtc-builtins.so.13.0");
    assert_eq!(version(Library::Nvrtc, "cuda/lib64/libnvrtc.so.13").as_deref(), Some("13.0"));
}

#[test]
fn a_missing_library_says_where_it_was_looked_for_and_what_to_do() {
    let tree = Tree::new();
    let environment = Environment::new(tree.root()).with("CUDA_HOME", tree.path("toolkit"));
    for library in Library::ALL {
        let error = open_in(&environment, library).unwrap_err();
        let Error::LibraryNotFound { library: named, searched, hint } = &error else { panic!("{error}") };
        assert_eq!(*named, library);
        assert_eq!(searched.contains(&tree.path("toolkit/lib64")), library != Library::Cuda);
        assert!(searched.contains(&tree.path("usr/lib64")));
        let remedy = if library == Library::Cuda { "driver" } else { "ocelli stack install" };
        assert!(hint.contains(remedy) && hint.contains(library.variable()), "{hint}");
    }
}

#[test]
fn an_override_that_leads_nowhere_is_an_error_that_names_it_whatever_else_there_is() {
    let tree = Tree::new();
    tree.library("usr/lib64/libnccl.so.2", &returning("ncclGetVersion", 1));
    tree.file("empty/readme");
    let environment = Environment::new(tree.root());
    assert_eq!(number(&environment, Library::Nccl, "ncclGetVersion").unwrap(), 1);
    for nowhere in ["missing/libnccl.so.2", "missing", "empty"] {
        let environment = environment.clone().with("OCELLI_NCCL", tree.path(nowhere));
        let error = open_in(&environment, Library::Nccl).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, Error::LibraryNotFound { .. }), "{text}");
        assert!(text.contains("OCELLI_NCCL") && text.contains(nowhere), "{text}");
    }
}

#[test]
fn an_override_may_be_a_file_of_any_name_or_a_directory() {
    let tree = Tree::new();
    let file = tree.library("here/mine.so", &returning("ncclGetVersion", 2));
    tree.library("there/libnccl.so.2", &returning("ncclGetVersion", 3));
    let environment = Environment::new(tree.root());
    for (path, expected) in [(file, 2), (tree.path("there"), 3)] {
        let environment = environment.clone().with("OCELLI_NCCL", path);
        assert_eq!(number(&environment, Library::Nccl, "ncclGetVersion").unwrap(), expected);
    }
}

#[test]
fn a_damaged_file_is_passed_over_unless_it_was_asked_for() {
    let tree = Tree::new();
    let damaged = tree.library("toolkit/lib64/libnccl.so.2", &returning("ncclGetVersion", 4));
    truncate(&damaged);
    let environment = Environment::new(tree.root()).with("CUDA_HOME", tree.path("toolkit"));
    let refused = |environment: &Environment| {
        let error = open_in(environment, Library::Nccl).unwrap_err();
        let Error::LibraryUnusable { path, reason, .. } = &error else { panic!("{error}") };
        assert_eq!(*path, damaged);
        assert!(reason.contains("truncated"), "{reason}");
        reason.clone()
    };
    refused(&environment);
    tree.library("usr/lib64/libnccl.so.2", &returning("ncclGetVersion", 5));
    assert_eq!(number(&environment, Library::Nccl, "ncclGetVersion").unwrap(), 5);
    assert!(refused(&environment.with("OCELLI_NCCL", &damaged)).contains("OCELLI_NCCL"));
}

#[test]
fn a_stack_that_was_chosen_and_is_not_there_is_an_error_and_a_damaged_one_too() {
    let tree = Tree::new();
    tree.library("usr/lib64/libnccl.so.2", &returning("ncclGetVersion", 6));
    let environment = Environment::new(tree.root()).with("OCELLI_HOME", tree.path("home"));
    assert_eq!(number(&environment, Library::Nccl, "ncclGetVersion").unwrap(), 6);
    for name in ["gone", "../escape"] {
        let error = open_in(&environment.clone().with("OCELLI_STACK", name), Library::Nccl).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&format!("`{name}`")) && text.contains("OCELLI_STACK"), "{text}");
    }
    // One that is marked as in use and was deleted by hand.
    tree.write("home/stacks/current", "deleted\n");
    let error = open_in(&environment, Library::Nccl).unwrap_err();
    assert!(error.to_string().contains("`deleted`"), "{error}");

    let environment = environment.with("OCELLI_STACK", "mine");
    std::fs::create_dir_all(tree.path("home/stacks/mine")).unwrap();
    assert_eq!(
        number(&environment, Library::Nccl, "ncclGetVersion").unwrap(),
        6,
        "a stack need not hold everything"
    );
    let inside =
        tree.library("home/stacks/mine/nvidia/nccl/lib/libnccl.so.2", &returning("ncclGetVersion", 7));
    assert_eq!(number(&environment, Library::Nccl, "ncclGetVersion").unwrap(), 7);
    truncate(&inside);
    let error = open_in(&environment, Library::Nccl).unwrap_err();
    assert!(matches!(&error, Error::LibraryUnusable { path, .. } if *path == inside), "{error}");
}

#[test]
fn what_is_too_new_for_the_driver_is_passed_over() {
    let tree = Tree::new();
    let (new, old) = (
        tree.file("usr/local/cuda/lib64/libnvrtc.so.13"),
        tree.file("usr/local/cuda-12.8/lib64/libnvrtc.so.12"),
    );
    let environment = Environment::new(tree.root());
    let fit = |environment: &Environment| -> Vec<PathBuf> {
        let found = candidates_in(environment, Library::Nvrtc).into_iter();
        found.filter(|found| found.unfit.is_none()).map(|found| found.path).collect()
    };
    assert_eq!(fit(&environment), [new.clone(), old.clone()], "nothing is known without a driver");
    tree.driver("580.65.06");
    assert_eq!(fit(&environment), [new.clone(), old.clone()]);
    tree.driver("550.54.15");
    assert_eq!(fit(&environment), std::slice::from_ref(&old));
    std::fs::remove_file(old).unwrap();
    let error = open_in(&environment, Library::Nvrtc).unwrap_err();
    let text = error.to_string();
    assert!(matches!(&error, Error::LibraryUnusable { path, .. } if *path == new), "{text}");
    assert!(text.contains("550.54") && text.contains("580") && text.contains("stack install"), "{text}");
}

#[test]
fn a_stub_is_no_driver() {
    let tree = Tree::new();
    tree.file("toolkit/lib64/stubs/libcuda.so.1");
    tree.file("toolkit/lib64/libcuda.so.1");
    let environment = Environment::new(tree.root())
        .with("CUDA_HOME", tree.path("toolkit"))
        .with("LD_LIBRARY_PATH", tree.path("toolkit/lib64/stubs"));
    assert!(candidates_in(&environment, Library::Cuda).is_empty());
    let real = tree.file("usr/lib/wsl/lib/libcuda.so.1");
    assert_eq!(paths(&candidates_in(&environment, Library::Cuda)), [real]);
}

#[test]
fn a_second_copy_beside_a_loaded_one_is_refused() {
    let tree = Tree::new();
    let loaded = tree.library("python/libcudnn.so.9", &returning("version", 8));
    let other = tree.library("usr/lib64/libcudnn.so.9", &returning("version", 9));
    let environment = Environment::new(tree.root()).with_loaded(&loaded);
    assert_eq!(number(&environment, Library::Cudnn, "version").unwrap(), 8);
    let error = open_in(&environment.with("OCELLI_CUDNN", other), Library::Cudnn).unwrap_err();
    let text = error.to_string();
    assert!(text.contains(loaded.to_str().unwrap()) && text.contains("OCELLI_CUDNN"), "{text}");
}

#[test]
fn a_missing_function_names_the_library_the_file_and_the_function() {
    let tree = Tree::new();
    let file = tree.library("libnccl.so.2", &returning("ncclGetVersion", 1));
    let environment = Environment::new("/nowhere").with("OCELLI_NCCL", &file);
    let error = number(&environment, Library::Nccl, "ncclNew").unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::MissingSymbol { .. }), "{text}");
    assert!(
        text.contains("NCCL") && text.contains("ncclNew") && text.contains(file.to_str().unwrap()),
        "{text}"
    );
}

#[test]
fn a_variable_that_is_empty_counts_as_not_set() {
    let tree = Tree::new();
    let file = tree.file("usr/lib64/libcudnn.so.9");
    let mut environment = Environment::new(tree.root());
    for name in ["OCELLI_CUDNN", "OCELLI_STACK", "CUDA_HOME", "LD_LIBRARY_PATH"] {
        environment = environment.with(name, "");
    }
    assert_eq!(paths(&candidates_in(&environment, Library::Cudnn)), [file]);
    assert_eq!(environment.variable("CUDA_HOME").map(Path::new), None);
}
