//! Where the library keeps its files.

use std::env;
use std::path::PathBuf;

/// What lasts: stacks and data sets. `OCELLI_HOME`, else `$XDG_DATA_HOME/ocelli`, else `~/.local/share/ocelli`.
pub fn home() -> PathBuf {
    directory("OCELLI_HOME", "XDG_DATA_HOME", ".local/share")
}

/// What can be made again: `sub` of `OCELLI_CACHE`, else `$XDG_CACHE_HOME/ocelli`, else `~/.cache/ocelli`.
pub fn cache(sub: &str) -> PathBuf {
    directory("OCELLI_CACHE", "XDG_CACHE_HOME", ".cache").join(sub)
}

fn directory(ours: &str, xdg: &str, under_home: &str) -> PathBuf {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set(ours).unwrap_or_else(|| {
        let base = set(xdg).or_else(|| Some(set("HOME")?.join(under_home)));
        base.unwrap_or_else(env::temp_dir).join("ocelli")
    })
}
