//! What can go wrong when a network is chosen or built.

/// The result of choosing a network by its name.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong when a network is chosen or built.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no network of this name.
    #[error("there is no network {name:?}; there are {}", known.join(", "))]
    UnknownModel {
        /// The name that was asked for.
        name: String,
        /// The names there are.
        known: &'static [&'static str],
    },
    /// Its parameters could not be made.
    #[error(transparent)]
    Core(#[from] ocelli_core::Error),
}
