//! What takes long to make, and is kept from one epoch to the next.

use std::sync::{Mutex, PoisonError};

use super::feeder::Feeder;
use super::prepare::Tools;
use super::shared::Shared;
use crate::Result;

/// What threads leave for those of the next epoch.
#[derive(Default)]
pub(super) struct Kept {
    tools: Mutex<Vec<Tools>>,
    feeders: Mutex<Vec<Feeder>>,
}

impl Kept {
    pub(super) fn take_tools(&self) -> Tools {
        take(&self.tools).unwrap_or_default()
    }

    pub(super) fn keep_tools(&self, tools: Tools) {
        keep(&self.tools, tools);
    }

    pub(super) fn take_feeder(&self, shared: &Shared) -> Result<Feeder> {
        take(&self.feeders).map_or_else(|| Feeder::new(shared), Ok)
    }

    pub(super) fn keep_feeder(&self, feeder: Feeder) {
        keep(&self.feeders, feeder);
    }
}

fn take<T>(kept: &Mutex<Vec<T>>) -> Option<T> {
    kept.lock().unwrap_or_else(PoisonError::into_inner).pop()
}

fn keep<T>(kept: &Mutex<Vec<T>>, one: T) {
    kept.lock().unwrap_or_else(PoisonError::into_inner).push(one);
}
