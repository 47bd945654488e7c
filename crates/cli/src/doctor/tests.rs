//! Reports on made-up machines.

use std::fs;
use std::path::{Path, PathBuf};

use ocelli_cuda::Error;
use ocelli_cuda::library::{Environment, Library, candidates_in};

use super::{Report, assess, collect, text};

/// A directory that stands for `/`.
struct Machine(tempfile::TempDir);

impl Machine {
    fn new() -> Machine {
        Machine(tempfile::tempdir().unwrap())
    }

    fn path(&self, path: &str) -> PathBuf {
        fs::canonicalize(self.0.path()).unwrap().join(path)
    }

    fn file(&self, path: &str, content: &str) -> PathBuf {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// A cuDNN in `directory`, whole.
    fn cudnn(&self, directory: &str) -> PathBuf {
        for part in ["graph", "ops", "engines_runtime_compiled", "heuristic"] {
            self.file(&format!("{directory}/libcudnn_{part}.so.9"), "");
        }
        self.file(&format!("{directory}/libcudnn.so.9"), "")
    }

    fn kernel_module(&self, version: &str) {
        let line = format!(
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  {version}  Tue Sep 23 10:11:16 UTC 2025\n"
        );
        self.file("proc/driver/nvidia/version", &line);
    }

    fn environment(&self) -> Environment {
        Environment::new(self.path(""))
    }

    /// The report where every candidate that fits can be opened.
    fn report(&self, environment: &Environment) -> Report {
        let open = |library| {
            let found = candidates_in(environment, library).into_iter().find(|found| found.unfit.is_none());
            let hint = "what to do".to_owned();
            found.map(|found| found.path).ok_or(Error::LibraryNotFound {
                library,
                searched: vec![PathBuf::from("/somewhere")],
                hint,
            })
        };
        let mut report = collect::collect(environment, &self.path(""), &open);
        assess::assess(&mut report);
        report
    }
}

fn picked(report: &Report, library: Library) -> Option<&Path> {
    let report = report.libraries.iter().find(|report| report.library == library).unwrap();
    report.picked.as_ref().map(|picked| &*picked.path)
}

#[test]
fn a_bare_machine_lacks_what_is_needed_and_nothing_else() {
    let machine = Machine::new();
    let report = machine.report(&machine.environment());
    assert!(!report.runs_here);
    assert_eq!(report.problems.len(), 4, "{:?}", report.problems);
    assert!(report.warnings.is_empty(), "{:?}", report.warnings);
    assert!(report.problems.iter().all(|problem| problem.ends_with("what to do")));
    let text = text::render(&report);
    assert!(text.ends_with("Ocelli cannot run here.\n") && text.contains("searched 1 places"), "{text}");
}

#[test]
fn a_choice_among_several_is_explained_and_warned_of_unless_somebody_made_it() {
    let machine = Machine::new();
    let conda = machine.cudnn("conda/lib");
    let system = machine.cudnn("usr/lib64");
    let environment = machine.environment().with("CONDA_PREFIX", machine.path("conda"));
    let report = machine.report(&environment);
    assert_eq!(picked(&report, Library::Cudnn), Some(&*conda));
    let [warning] = &*report.warnings else { panic!("{:?}", report.warnings) };
    for part in ["CONDA_PREFIX", conda.to_str().unwrap(), system.to_str().unwrap(), "OCELLI_CUDNN"] {
        assert!(warning.contains(part), "{warning}");
    }
    let text = text::render(&report);
    assert!(text.contains("picked because the active Conda environment has it"), "{text}");
    assert!(text.contains(&format!("not ?  {} (system)", system.display())), "{text}");

    let report = machine.report(&environment.with("OCELLI_CUDNN", &system));
    assert_eq!(picked(&report, Library::Cudnn), Some(&*system));
    assert!(report.warnings.is_empty(), "{:?}", report.warnings);
    assert!(text::render(&report).contains("picked because OCELLI_CUDNN names it"));
}

#[test]
fn a_cudnn_with_a_part_missing_is_warned_of() {
    let machine = Machine::new();
    machine.cudnn("usr/lib64");
    fs::remove_file(machine.path("usr/lib64/libcudnn_ops.so.9")).unwrap();
    let report = machine.report(&machine.environment());
    assert!(report.warnings.iter().any(|warning| warning.contains("libcudnn_ops.so.9 is not beside it")));
}

#[test]
fn what_the_driver_is_too_old_for_is_passed_over_with_the_reason() {
    let machine = Machine::new();
    machine.kernel_module("550.54.15");
    let new = machine.file("usr/local/cuda-13.0/lib64/libnvrtc.so.13", "");
    let old = machine.file("usr/local/cuda-12.8/lib64/libnvrtc.so.12", "");
    let report = machine.report(&machine.environment());
    assert_eq!(picked(&report, Library::Nvrtc), Some(&*old));
    let text = text::render(&report);
    assert!(text.contains("kernel module 550.54.15"), "{text}");
    let line = text.lines().find(|line| line.contains(new.to_str().unwrap())).unwrap();
    assert!(line.contains("needs driver 580") && line.contains("550.54"), "{line}");
}

#[test]
fn a_driver_that_was_updated_without_a_restart_is_warned_of() {
    let machine = Machine::new();
    machine.kernel_module("570.86.10");
    machine.file("usr/lib64/libcuda.so.580.95.05", "");
    std::os::unix::fs::symlink("libcuda.so.580.95.05", machine.path("usr/lib64/libcuda.so.1")).unwrap();
    let report = machine.report(&machine.environment());
    assert_eq!(report.driver.libcuda.as_deref(), Some("580.95.05"));
    assert!(report.warnings[0].contains("580.95.05") && report.warnings[0].contains("restart"));
    machine.kernel_module("580.95.05");
    assert!(machine.report(&machine.environment()).warnings.is_empty());
}

#[test]
fn toolkits_are_listed_with_version_and_the_variables_that_lead_to_them() {
    let machine = Machine::new();
    machine
        .file("usr/local/cuda-13.0/version.json", r#"{"cuda": {"name": "CUDA SDK", "version": "13.0.1"}}"#);
    machine.file("usr/local/cuda-13.0/bin/nvcc", "");
    machine.file("usr/local/cuda-10.1/version.txt", "CUDA Version 10.1.243\n");
    machine.file("usr/local/cuda-12.8/include/cuda.h", "#define CUDA_VERSION 12080\n");
    machine.file("usr/local/cuda-empty/readme", "");
    std::os::unix::fs::symlink("cuda-13.0", machine.path("usr/local/cuda")).unwrap();
    let environment = machine
        .environment()
        .with("CUDA_HOME", machine.path("usr/local/cuda"))
        .with("PATH", machine.path("usr/local/cuda-13.0/bin"));
    let toolkits = |report: &Report| {
        let toolkits = report.toolkits.iter();
        let mut shown: Vec<_> = toolkits
            .map(|toolkit| {
                let name = toolkit.path.file_name().unwrap().to_string_lossy().into_owned();
                (name, toolkit.version.clone().unwrap(), toolkit.nvcc, toolkit.variables.join(" "))
            })
            .collect();
        shown.sort();
        shown
    };
    let report = machine.report(&environment);
    let shown = |name: &str, version: &str, nvcc, variables: &str| {
        (name.to_owned(), version.to_owned(), nvcc, variables.to_owned())
    };
    let expected = [
        shown("cuda-10.1", "10.1.243", false, ""),
        shown("cuda-12.8", "12.8", false, ""),
        shown("cuda-13.0", "13.0.1", true, "CUDA_HOME PATH"),
    ];
    assert_eq!(toolkits(&report), expected);
    assert!(report.warnings.is_empty(), "{:?}", report.warnings);

    // A program would be compiled by one toolkit and run with the libraries of the other.
    let environment = environment.with("LD_LIBRARY_PATH", machine.path("usr/local/cuda-10.1"));
    let report = machine.report(&environment);
    assert!(report.warnings.iter().any(|warning| {
        warning.contains("cuda-13.0 (CUDA_HOME, PATH)") && warning.contains("cuda-10.1 (LD_LIBRARY_PATH)")
    }));
}

#[test]
fn a_toolkit_newer_than_the_driver_is_warned_of() {
    let machine = Machine::new();
    machine.file("usr/local/cuda-13.0/version.json", r#"{"cuda": {"version": "13.0.1"}}"#);
    let environment = machine.environment();
    let open = |library| Err(Error::LibraryNotFound { library, searched: Vec::new(), hint: String::new() });
    let mut report = collect::collect(&environment, &machine.path(""), &open);
    report.driver.cuda = Some((12, 4));
    assess::assess(&mut report);
    assert!(report.warnings[0].contains("13.0.1") && report.warnings[0].contains("up to 12.4"));
}

#[test]
fn a_variable_that_leads_nowhere_is_warned_of_and_shown() {
    let machine = Machine::new();
    let report = machine.report(&machine.environment().with("CUDA_HOME", machine.path("gone")));
    assert!(report.warnings[0].starts_with("CUDA_HOME names"), "{:?}", report.warnings);
    assert!(text::render(&report).contains("variable  CUDA_HOME="));
}

#[test]
fn a_path_that_is_not_utf8_does_not_spoil_the_json() {
    use std::os::unix::ffi::OsStrExt;
    let machine = Machine::new();
    let name = std::ffi::OsStr::from_bytes(b"con\xffda");
    let directory = machine.path("").join(name);
    fs::create_dir_all(directory.join("lib")).unwrap();
    fs::write(directory.join("lib/libcudnn.so.9"), "").unwrap();
    let report = machine.report(&machine.environment().with("CONDA_PREFIX", &directory));
    let json = serde_json::to_value(&report).unwrap();
    let cudnn = &json["libraries"][1];
    assert_eq!(cudnn["library"], "cudnn");
    assert!(cudnn["picked"]["path"].as_str().unwrap().contains("con\u{fffd}da"), "{cudnn}");
}
