//! Where the system's loader looks for a bare file name, so that we know which file it would take.

use std::fs;
use std::path::{Path, PathBuf};

use super::Environment;

/// The loader's search path: `LD_LIBRARY_PATH`, the asker's run path, `/etc/ld.so.cache`, standard directories.
pub(super) struct Loader {
    /// The directories of `LD_LIBRARY_PATH`.
    pub(super) path: Vec<PathBuf>,
    /// The standard directories, and those where container runtimes, WSL and NixOS put the driver.
    pub(super) standard: Vec<PathBuf>,
    cache: Vec<u8>,
    environment: Environment,
}

impl Loader {
    pub(super) fn new(environment: &Environment) -> Loader {
        let multiarch = format!("{}-linux-gnu", std::env::consts::ARCH);
        let standard = [
            &format!("/lib/{multiarch}"),
            &format!("/usr/lib/{multiarch}"),
            "/lib64",
            "/usr/lib64",
            "/lib",
            "/usr/lib",
            "/usr/local/nvidia/lib64",
            "/usr/local/nvidia/lib",
            "/usr/lib/wsl/lib",
            "/run/opengl-driver/lib",
        ];
        Loader {
            path: environment.directories("LD_LIBRARY_PATH"),
            standard: standard.map(|path| environment.system(path)).into(),
            cache: fs::read(environment.system("/etc/ld.so.cache")).unwrap_or_default(),
            environment: environment.clone(),
        }
    }

    /// Files that the loader's cache has for a name, best first.
    pub(super) fn cached(&self, name: &str) -> Vec<PathBuf> {
        let paths = cache_entries(&self.cache).filter(|(key, _)| *key == name);
        paths.map(|(_, path)| self.environment.system(path)).collect()
    }

    /// The file, links resolved, that the loader takes for `name` when a library whose run path is `run_path` asks.
    pub(super) fn resolve(&self, name: &str, run_path: &[PathBuf]) -> Option<PathBuf> {
        let in_directories = |directories: &[PathBuf]| {
            directories.iter().find_map(|directory| canonical_file(&directory.join(name)))
        };
        in_directories(&self.path)
            .or_else(|| in_directories(run_path))
            .or_else(|| self.cached(name).iter().find_map(|path| canonical_file(path)))
            .or_else(|| in_directories(&self.standard))
    }
}

/// The path with links resolved, of an existing file.
pub(super) fn canonical_file(path: &Path) -> Option<PathBuf> {
    fs::canonicalize(path).ok().filter(|path| path.is_file())
}

/// Names and paths in glibc's cache of libraries (format `glibc-ld.so.cache1.1`); nothing for any other content.
///
/// The header is 48 bytes long with the number of entries behind the 20 bytes of magic; an entry is 24 bytes long with
/// the offsets of its name and its path, from the header's start, at 4 and 8. An older header may precede it.
fn cache_entries(bytes: &[u8]) -> impl Iterator<Item = (&str, &str)> {
    const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
    const HEADER: usize = 48;
    const ENTRY: usize = 24;
    let start = bytes.windows(MAGIC.len()).position(|window| window == MAGIC).unwrap_or(bytes.len());
    let bytes = &bytes[start..];
    let number = move |at: usize| {
        let raw = bytes.get(at..at.checked_add(4)?)?;
        Some(u32::from_ne_bytes(raw.try_into().ok()?) as usize)
    };
    let string = move |at: usize| {
        let rest = bytes.get(at..)?;
        std::str::from_utf8(&rest[..rest.iter().position(|&byte| byte == 0)?]).ok()
    };
    let entries = bytes.get(HEADER..).map_or(0, |rest| rest.len() / ENTRY);
    (0..number(MAGIC.len()).unwrap_or(0).min(entries)).filter_map(move |index| {
        let at = HEADER + index * ENTRY;
        Some((string(number(at + 4)?)?, string(number(at + 8)?)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cache that glibc's ldconfig would write for the given names and paths.
    fn cache(entries: &[(&str, &str)]) -> Vec<u8> {
        let mut bytes = b"glibc-ld.so.cache1.1".to_vec();
        bytes.extend((entries.len() as u32).to_ne_bytes());
        bytes.resize(48, 0);
        let mut strings = Vec::new();
        for (name, path) in entries {
            let base = 48 + 24 * entries.len();
            let name_at = (base + strings.len()) as u32;
            strings.extend(name.bytes().chain([0]));
            let path_at = (base + strings.len()) as u32;
            strings.extend(path.bytes().chain([0]));
            bytes.extend([3, name_at, path_at, 0, 0, 0].map(u32::to_ne_bytes).concat());
        }
        bytes.extend(strings);
        bytes
    }

    #[test]
    fn the_cache_is_read_with_and_without_an_older_header_and_damage_gives_less() {
        let entries = [("libcudnn.so.9", "/usr/lib/libcudnn.so.9"), ("libz.so.1", "/lib/libz.so.1")];
        let bytes = cache(&entries);
        assert_eq!(cache_entries(&bytes).collect::<Vec<_>>(), entries);
        let older = [b"ld.so-1.7.0\0\0\0\0\0".as_slice(), &bytes].concat();
        assert_eq!(cache_entries(&older).collect::<Vec<_>>(), entries);
        for length in 0..bytes.len() {
            assert!(cache_entries(&bytes[..length]).count() <= 2);
        }
        for at in 20..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0xff;
            assert!(cache_entries(&damaged).count() <= 6);
        }
    }

    #[test]
    fn this_machines_cache_knows_the_c_library() {
        let loader = Loader::new(&Environment::new("/"));
        let found = loader.resolve("libc.so.6", &[]).expect("the C library");
        assert!(found.is_file() && !loader.cached("libc.so.6").is_empty());
    }

    #[test]
    fn the_variable_precedes_the_run_path_which_precedes_the_cache() {
        let root = tempfile::tempdir().unwrap();
        let directory = |name: &str| {
            let path = root.path().join(name);
            fs::create_dir_all(&path).unwrap();
            fs::write(path.join("libx.so.1"), name).unwrap();
            fs::canonicalize(path).unwrap()
        };
        let (variable, own, system) = (directory("variable"), directory("own"), directory("opt/x"));
        fs::create_dir_all(root.path().join("etc")).unwrap();
        fs::write(root.path().join("etc/ld.so.cache"), cache(&[("libx.so.1", "/opt/x/libx.so.1")])).unwrap();
        let environment = Environment::new(root.path());
        let resolve =
            |environment: &Environment, own: &[PathBuf]| Loader::new(environment).resolve("libx.so.1", own);
        assert_eq!(resolve(&environment, &[]), Some(system.join("libx.so.1")));
        assert_eq!(resolve(&environment, std::slice::from_ref(&own)), Some(own.join("libx.so.1")));
        let environment = environment.with("LD_LIBRARY_PATH", &variable);
        assert_eq!(resolve(&environment, &[own]), Some(variable.join("libx.so.1")));
    }
}
