//! Shared objects that pass for NVIDIA's, and the directories that systems keep them in.

#![allow(dead_code, unreachable_pub, reason = "each test program uses some of it")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A temporary file system.
pub struct Tree {
    directory: tempfile::TempDir,
}

impl Tree {
    pub fn new() -> Tree {
        Tree { directory: tempfile::tempdir().unwrap() }
    }

    /// The root, links resolved.
    pub fn root(&self) -> PathBuf {
        fs::canonicalize(self.directory.path()).unwrap()
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        self.root().join(relative.trim_start_matches('/'))
    }

    /// A file that exists and is no library.
    pub fn file(&self, relative: &str) -> PathBuf {
        self.write(relative, "")
    }

    pub fn write(&self, relative: &str, content: &str) -> PathBuf {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// A driver of that version.
    pub fn driver(&self, version: &str) {
        let text = format!(
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  {version}  Tue Sep 23 10:11:16 UTC 2025\n"
        );
        self.write("/proc/driver/nvidia/version", &text);
    }

    /// A shared object of C source, whose name in the loader is its file name. `$ORIGIN` is its run path.
    pub fn library(&self, relative: &str, source: &str) -> PathBuf {
        self.compile(relative, source, &["-Wl,--enable-new-dtags,-rpath,$ORIGIN"])
    }

    /// The same without a run path.
    pub fn library_without_run_path(&self, relative: &str, source: &str) -> PathBuf {
        self.compile(relative, source, &[])
    }

    fn compile(&self, relative: &str, source: &str, arguments: &[&str]) -> PathBuf {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let code = path.with_extension("c");
        fs::write(&code, source).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
        let status = Command::new(compiler)
            .args(["-shared", "-fPIC", &format!("-Wl,-soname,{name}")])
            .args(arguments)
            .arg("-o")
            .args([&path, &code])
            .arg("-ldl")
            .status()
            .expect("a C compiler");
        assert!(status.success(), "{name} does not compile");
        fs::remove_file(code).unwrap();
        path
    }
}

/// C source of a function that returns a number.
pub fn returning(function: &str, number: u32) -> String {
    format!("unsigned long {function}(void) {{ return {number}; }}\n")
}

/// C source of a function that returns what a function of another library, opened by bare name, returns; 0 without it.
pub fn asking(function: &str, library: &str, other: &str) -> String {
    format!(
        "#include <dlfcn.h>\n\
         unsigned long {function}(void) {{\n\
             void* handle = dlopen(\"{library}\", RTLD_NOW);\n\
             unsigned long (*ask)(void) = handle ? (unsigned long (*)(void))dlsym(handle, \"{other}\") : 0;\n\
             return ask ? ask() : 0;\n\
         }}\n"
    )
}

/// Puts a truncated copy in the place of a file, which may be in use.
pub fn truncate(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::remove_file(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 3]).unwrap();
}
