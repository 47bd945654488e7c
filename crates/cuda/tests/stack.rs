//! Stacks, installed by a pip that is a shell script of these tests, so that each of its faults can be had.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod fake_library;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fake_library::{Tree, returning};
use ocelli_cuda::Error;
use ocelli_cuda::library::{Environment, Library, candidates_in, open};
use ocelli_cuda::stack::{InstallOptions, Progress, Stack, Stacks, install_missing, missing};

/// What a pip does that works: `$target` is where to install.
const WORKS: &str = r#"
    echo "Downloading nvidia_nvjpeg-13.0.1.86-py3-none-any.whl (3.7 MB)"
    mkdir -p "$target/nvidia/cu13/lib" "$target/nvidia_nvjpeg-13.0.1.86.dist-info"
    echo content > "$target/nvidia/cu13/lib/libnvjpeg.so.13"
    echo "Installing collected packages: nvidia-nvjpeg"
"#;

/// A home without stacks, and a pip that runs `script`.
fn home(tree: &Tree, script: &str) -> Environment {
    let script = format!(
        "#!/bin/sh\n\
         PATH=/usr/bin:/bin\n\
         case \"$*\" in *--version*) exit 0;; esac\n\
         echo \"$*\" > {}\n\
         while [ \"$1\" != --target ]; do shift; done\n\
         target=$2\n\
         {script}\n",
        tree.path("arguments").display()
    );
    // Written by another process: a test that forks while this one had it open could not run it.
    let source = tree.write("pip.sh", &script);
    fs::create_dir_all(tree.path("bin")).unwrap();
    let copied =
        Command::new("install").args(["-m", "755"]).args([&source, &tree.path("bin/python3")]).status();
    assert!(copied.unwrap().success());
    Environment::new(tree.root()).with("OCELLI_HOME", tree.path("home")).with("PATH", tree.path("bin"))
}

fn install(environment: &Environment, name: &str) -> Result<Stack, Error> {
    Stacks::of(environment).install(name, &InstallOptions::default(), &mut |_| ())
}

/// The names in the directory of stacks, hidden ones included.
fn entries(tree: &Tree) -> Vec<String> {
    let entries = fs::read_dir(tree.path("home/stacks")).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_stack_is_installed_listed_used_and_removed_without_a_trace() {
    let tree = Tree::new();
    let environment = home(&tree, WORKS);
    let stacks = Stacks::of(&environment);
    assert_eq!(stacks.list().unwrap(), []);
    assert_eq!(stacks.current().unwrap(), None);

    let mut said = Vec::new();
    let first = stacks
        .install("first", &InstallOptions::default(), &mut |progress| said.push(progress.to_string()))
        .unwrap();
    assert_eq!(first.path, tree.path("home/stacks/first"));
    assert_eq!(first.packages, [("nvidia-nvjpeg".to_owned(), "13.0.1.86".to_owned())]);
    assert_eq!((first.bytes, first.current), (8, true), "the first is put to use");
    assert!(
        said.contains(&"downloading nvidia_nvjpeg-13.0.1.86-py3-none-any.whl (4 MB)".to_owned()),
        "{said:?}"
    );
    assert!(said.contains(&Progress::Unpacking.to_string()), "{said:?}");
    let arguments = fs::read_to_string(tree.path("arguments")).unwrap();
    assert!(arguments.contains("nvidia-cudnn-cu13==") && arguments.contains("--no-deps"), "{arguments}");

    let second = install(&environment, "second").unwrap();
    assert!(!second.current);
    stacks.select("second").unwrap();
    assert_eq!(fs::read_to_string(tree.path("home/stacks/current")).unwrap().trim(), "second");
    assert_eq!(stacks.current().unwrap().unwrap().name, "second");
    let names = |environment: &Environment| -> Vec<(String, bool)> {
        let stacks = Stacks::of(environment).list().unwrap();
        stacks.into_iter().map(|stack| (stack.name, stack.current)).collect()
    };
    assert_eq!(names(&environment), [("first".to_owned(), false), ("second".to_owned(), true)]);
    let demanded = environment.clone().with("OCELLI_STACK", "first");
    assert_eq!(names(&demanded), [("first".to_owned(), true), ("second".to_owned(), false)]);
    let served = |environment| candidates_in(environment, Library::Nvjpeg)[0].path.clone();
    assert_eq!(served(&environment), second.path.join("nvidia/cu13/lib/libnvjpeg.so.13"));
    assert_eq!(served(&demanded), first.path.join("nvidia/cu13/lib/libnvjpeg.so.13"));
    assert_eq!(entries(&tree), ["current", "first", "second"], "nothing is left aside");

    stacks.remove("second").unwrap();
    assert_eq!(stacks.current().unwrap(), None);
    stacks.remove("first").unwrap();
    assert!(!tree.path("home").exists());
}

#[test]
fn the_packages_are_those_that_fit_the_driver_or_those_given() {
    let tree = Tree::new();
    let environment = home(&tree, WORKS);
    let asked = || fs::read_to_string(tree.path("arguments")).unwrap();
    tree.driver("550.54.15");
    install(&environment, "old-driver").unwrap();
    assert!(asked().contains("nvidia-cudnn-cu12==") && !asked().contains("cu13"), "{}", asked());
    let options =
        InstallOptions { packages: vec!["nvidia-nccl-cu13==2.28.9".to_owned()], ..Default::default() };
    Stacks::of(&environment).install("given", &options, &mut |_| ()).unwrap();
    assert!(asked().contains("nvidia-nccl-cu13==2.28.9") && !asked().contains("cudnn"), "{}", asked());
    let options = InstallOptions { packages: vec!["--index-url=http://x".to_owned()], ..Default::default() };
    let error = Stacks::of(&environment).install("option", &options, &mut |_| ()).unwrap_err();
    assert!(matches!(error, Error::InvalidRequirement { .. }), "{error}");
    tree.driver("470.42.01");
    let error = install(&environment, "too-old").unwrap_err();
    assert!(error.to_string().contains("470.42"), "{error}");
}

#[test]
fn a_pip_that_fails_is_quoted_and_leaves_nothing() {
    let tree = Tree::new();
    let environment = home(&tree, &format!("{WORKS}\n echo 'ERROR: no space left' >&2\n exit 3"));
    let error = install(&environment, "broken").unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::PipFailed { .. }), "{text}");
    assert!(
        text.contains("no space left") && text.contains('3') && text.contains("python3 -m pip install"),
        "{text}"
    );
    assert_eq!(entries(&tree), [""; 0]);

    let environment = home(&tree, "echo nothing to do");
    let error = install(&environment, "empty").unwrap_err();
    assert!(matches!(error, Error::EmptyStack { .. }), "{error}");
    assert_eq!(entries(&tree), [""; 0]);
}

#[test]
fn without_pip_the_error_says_what_to_install() {
    let tree = Tree::new();
    fs::create_dir(tree.path("nothing")).unwrap();
    let environment = home(&tree, WORKS).with("PATH", tree.path("nothing"));
    let error = install(&environment, "name").unwrap_err();
    assert!(matches!(error, Error::PipNotFound { .. }), "{error}");
    assert!(error.to_string().contains("install python3-pip"), "{error}");
}

#[test]
fn a_name_that_leads_elsewhere_is_refused() {
    let tree = Tree::new();
    let environment = home(&tree, WORKS);
    tree.file("home/precious/file");
    let stacks = Stacks::of(&environment);
    let long = "x".repeat(65);
    for name in ["", ".", "..", "../precious", "a/b", "/etc", ".hidden", "-r", "a b", "a\n", "current", &long]
    {
        for result in [install(&environment, name).map(drop), stacks.select(name), stacks.remove(name)] {
            let error = result.unwrap_err();
            assert!(matches!(error, Error::InvalidStackName { .. }), "{name:?}: {error}");
        }
    }
    assert!(tree.path("home/precious/file").exists());
    assert_eq!(entries(&tree), [""; 0]);
}

#[test]
fn an_unknown_stack_can_be_neither_used_nor_removed() {
    let tree = Tree::new();
    let environment = home(&tree, WORKS);
    install(&environment, "known").unwrap();
    let stacks = Stacks::of(&environment);
    for result in [stacks.select("unknown"), stacks.remove("unknown")] {
        let error = result.unwrap_err();
        assert!(matches!(error, Error::UnknownStack { .. }), "{error}");
        assert!(error.to_string().contains("`unknown`") && error.to_string().contains("known)"), "{error}");
    }
    let error = Stacks::of(&environment.with("OCELLI_STACK", "unknown")).current().unwrap_err();
    assert!(error.to_string().contains("OCELLI_STACK"), "{error}");
    assert_eq!(entries(&tree), ["current", "known"]);
}

#[test]
fn a_stack_that_exists_is_kept() {
    let tree = Tree::new();
    let environment = home(&tree, WORKS);
    let stack = install(&environment, "name").unwrap();
    fs::write(stack.path.join("mark"), "").unwrap();
    let error = install(&environment, "name").unwrap_err();
    assert!(matches!(error, Error::StackExists { .. }), "{error}");
    assert!(stack.path.join("mark").exists());
}

#[test]
fn a_home_that_cannot_be_written_is_an_error_with_the_path() {
    let tree = Tree::new();
    // Even root cannot make a directory below a file.
    tree.file("a-file");
    let environment = home(&tree, WORKS).with("OCELLI_HOME", tree.path("a-file/home"));
    let error = install(&environment, "name").unwrap_err();
    assert!(matches!(&error, Error::Io { path, .. } if path.starts_with(tree.path("a-file"))), "{error}");
}

/// A wheel with one file in it, beside the tree's others.
fn wheel(tree: &Tree, version: &str, file: &str) {
    const MAKE: &str = r#"
import sys, zipfile
directory, version, name = sys.argv[1:]
info = f"nvidia_nvjpeg-{version}.dist-info"
files = {
    name: "content",
    f"{info}/METADATA": f"Metadata-Version: 2.1\nName: nvidia-nvjpeg\nVersion: {version}\n",
    f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
}
files[f"{info}/RECORD"] = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"])
with zipfile.ZipFile(f"{directory}/nvidia_nvjpeg-{version}-py3-none-any.whl", "w") as wheel:
    for file, content in files.items():
        wheel.writestr(file, content)
"#;
    fs::create_dir_all(tree.path("wheels")).unwrap();
    let made =
        Command::new("python3").args(["-c", MAKE]).arg(tree.path("wheels")).args([version, file]).status();
    assert!(made.unwrap().success());
}

#[test]
#[cfg_attr(not(ocelli_pip), ignore = "needs python3 with pip")]
fn the_real_pip_installs_wheels_and_refuses_those_that_would_write_elsewhere() {
    let tree = Tree::new();
    wheel(&tree, "13.0.1", "nvidia/cu13/lib/libnvjpeg.so.13");
    wheel(&tree, "13.0.2", "../../../../escaped/libnvjpeg.so.13");
    let environment = Environment::new(tree.root()).with("OCELLI_HOME", tree.path("home"));
    let stacks = Stacks::of(&environment);
    let install = |version: &str| {
        let find_links = ["--no-index".into(), "--find-links".into(), tree.path("wheels").into()];
        let packages = vec![format!("nvidia-nvjpeg=={version}")];
        let options = InstallOptions { packages, pip_arguments: find_links.into() };
        stacks.install(&format!("v{version}"), &options, &mut |_| ())
    };
    let stack = install("13.0.1").unwrap();
    assert_eq!(stack.packages, [("nvidia-nvjpeg".to_owned(), "13.0.1".to_owned())]);
    let found = &candidates_in(&environment, Library::Nvjpeg)[0];
    assert_eq!(found.path, stack.path.join("nvidia/cu13/lib/libnvjpeg.so.13"));
    assert_eq!(found.version.as_deref(), Some("13.0.1"));
    for (version, said) in [("13.0.2", "outside"), ("13.0.3", "13.0.3")] {
        let error = install(version).unwrap_err();
        assert!(matches!(error, Error::PipFailed { .. }) && error.to_string().contains(said), "{error}");
    }
    assert_eq!(entries(&tree), ["current", "v13.0.1"]);
    assert!(!tree.path("escaped").exists() && !tree.path("home/escaped").exists());
}

/// Waits until `condition` holds.
fn wait(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(20), "nothing happened");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn only_one_process_changes_stacks_at_a_time() {
    let tree = Tree::new();
    let go_on = tree.path("go-on");
    let environment =
        home(&tree, &format!("{WORKS}\nwhile [ ! -e {} ]; do sleep 0.01; done", go_on.display()));
    std::thread::scope(|scope| {
        let first = scope.spawn(|| install(&environment, "first"));
        wait(|| entries(&tree).iter().any(|name| name.starts_with(".aside")));
        assert_eq!(Stacks::of(&environment).list().unwrap(), [], "what is not complete is not listed");
        for error in
            [install(&environment, "second").unwrap_err(), install(&environment, "first").unwrap_err()]
        {
            assert!(matches!(error, Error::StackBusy { .. }), "{error}");
        }
        fs::write(&go_on, "").unwrap();
        first.join().unwrap().unwrap();
    });
    assert_eq!(entries(&tree), ["current", "first"]);
}

/// This program again, running the test of that name alone, in the process environment given.
fn child(test: &str, environment: &Environment) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"]);
    for name in ocelli_cuda::library::VARIABLES {
        command.env_remove(name);
        command.envs(environment.variable(name).map(|value| (name, value)));
    }
    command
}

#[test]
#[ignore = "what the next one runs in a child process and kills"]
fn child_that_installs() {
    let stacks = Stacks::here();
    let _ = stacks.install("killed", &InstallOptions::default(), &mut |_| ());
}

#[test]
fn a_killed_installation_leaves_no_stack_and_the_next_one_clears_it_away() {
    let tree = Tree::new();
    let unpacked = tree.path("unpacked");
    let hangs = format!("{WORKS}\necho > {}\nexec sleep 3", unpacked.display());
    let environment = home(&tree, &hangs);
    let mut process = child("child_that_installs", &environment).stdout(Stdio::null()).spawn().unwrap();
    wait(|| unpacked.exists());
    process.kill().unwrap();
    process.wait().unwrap();
    let left = entries(&tree);
    assert!(left.len() == 1 && left[0].starts_with(".aside-killed"), "{left:?}");
    assert_eq!(Stacks::of(&environment).list().unwrap(), []);
    assert_eq!(Stacks::of(&environment).current().unwrap(), None);
    install(&home(&tree, WORKS), "killed").unwrap();
    assert_eq!(entries(&tree), ["current", "killed"]);
}

#[test]
#[ignore = "what the next ones run in a child process"]
fn child_that_sets_up() {
    println!("missing before: {:?}", missing());
    match install_missing(|_| ()) {
        Ok(stack) => println!("installed: {:?}", stack.map(|stack| stack.name)),
        Err(error) => println!("refused: {error}"),
    }
    println!("missing after: {:?}", missing());
    if let Ok(opened) = open(Library::Cudnn) {
        println!("cudnn: {}", opened.found().path.display());
    }
}

fn set_up(environment: &Environment) -> String {
    String::from_utf8(child("child_that_sets_up", environment).output().unwrap().stdout).unwrap()
}

/// A driver, and a pip that brings the rest, in a home where the chosen stack is not there yet.
fn bare_machine(tree: &Tree) -> Environment {
    let driver = tree.library("driver/libcuda.so.580.95.05", &returning("cuInit", 0));
    for file in ["cudnn/lib/libcudnn.so.9", "cu13/lib/libnvrtc.so.13", "cu13/lib/libcublasLt.so.13"] {
        tree.library(&format!("wheels/nvidia/{file}"), &returning("version", 1));
    }
    let pip = format!("cp -R {}/. \"$target\"", tree.path("wheels").display());
    home(tree, &pip).with("OCELLI_CUDA", driver).with("OCELLI_STACK", "fresh")
}

#[test]
fn what_is_missing_is_installed_and_the_same_process_goes_on() {
    let tree = Tree::new();
    let environment = bare_machine(&tree);
    let said = set_up(&environment);
    for line in [
        "missing before: [Cudnn, Nvrtc, CublasLt]".to_owned(),
        "installed: Some(\"fresh\")".to_owned(),
        "missing after: []".to_owned(),
        format!("cudnn: {}", tree.path("home/stacks/fresh/nvidia/cudnn/lib/libcudnn.so.9").display()),
    ] {
        assert!(said.contains(&line), "{line}\n{said}");
    }
    let said = set_up(&environment);
    assert!(said.contains("missing before: []") && said.contains("installed: None"), "{said}");
}

#[test]
fn what_no_stack_can_bring_is_refused_before_anything_is_fetched() {
    let tree = Tree::new();
    let nowhere: PathBuf = tree.path("nowhere");
    for variable in ["OCELLI_CUDA", "OCELLI_NVRTC"] {
        let said = set_up(&bare_machine(&tree).with(variable, &nowhere));
        assert!(said.contains("refused: ") && said.contains(variable), "{said}");
        assert!(!tree.path("arguments").exists() && !tree.path("home").exists());
    }
}
