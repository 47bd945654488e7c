//! Where the library keeps its files.

use std::path::PathBuf;

use crate::library::Environment;

/// What lasts: stacks and data sets. `OCELLI_HOME`, else `$XDG_DATA_HOME/ocelli`, else `~/.local/share/ocelli`.
pub fn home() -> PathBuf {
    home_in(&Environment::of_variables())
}

/// What can be made again: `sub` of `OCELLI_CACHE`, else `$XDG_CACHE_HOME/ocelli`, else `~/.cache/ocelli`.
pub fn cache(sub: &str) -> PathBuf {
    directory(&Environment::of_variables(), "OCELLI_CACHE", "XDG_CACHE_HOME", ".cache").join(sub)
}

/// [`home`], of an environment that need not be this process's.
pub(crate) fn home_in(environment: &Environment) -> PathBuf {
    directory(environment, "OCELLI_HOME", "XDG_DATA_HOME", ".local/share")
}

fn directory(environment: &Environment, ours: &str, xdg: &str, under_home: &str) -> PathBuf {
    environment.path(ours).unwrap_or_else(|| {
        let base = environment.path(xdg).or_else(|| Some(environment.path("HOME")?.join(under_home)));
        base.unwrap_or_else(std::env::temp_dir).join("ocelli")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_variable_yields_to_the_one_before_it() {
        let environment = Environment::new("/").with("HOME", "/home/ann");
        assert_eq!(home_in(&environment), PathBuf::from("/home/ann/.local/share/ocelli"));
        let environment = environment.with("XDG_DATA_HOME", "/data");
        assert_eq!(home_in(&environment), PathBuf::from("/data/ocelli"));
        assert_eq!(home_in(&environment.clone().with("OCELLI_HOME", "")), PathBuf::from("/data/ocelli"));
        assert_eq!(home_in(&environment.with("OCELLI_HOME", "/own")), PathBuf::from("/own"));
    }
}
