//! Which way maps walk through their space.
//!
//! A tensor larger than the second-level cache leaves its last part there. Whoever reads it next from its end finds that
//! part; whoever begins at the start finds nothing, and evicts it. So a map walks the other way than the launch before
//! that touched what it reads. Convolutions and kernels of their own walk forwards.

use std::collections::HashMap;

use crate::codegen::KernelSpec;
use crate::plan::{BufferId, Launch, LaunchKind};

/// Tensors of fewer bytes stay in the cache whole.
const LARGE: usize = 8 << 20;

/// Chooses the direction of every map.
pub(super) fn alternate(launches: &mut [Launch], bytes: impl Fn(BufferId) -> usize) {
    // When a buffer was touched last, and whether backwards.
    let mut touched: HashMap<BufferId, (usize, bool)> = HashMap::new();
    for (position, launch) in launches.iter_mut().enumerate() {
        let large = |buffer: &&BufferId| bytes(**buffer) >= LARGE;
        let mut backwards = false;
        if let LaunchKind::Kernel(KernelSpec::Map(map)) = &mut launch.kind {
            let latest = launch.reads.iter().filter(large).filter_map(|buffer| touched.get(buffer)).max();
            backwards = latest.is_some_and(|&(_, backwards)| !backwards);
            map.backwards = backwards;
        }
        for buffer in launch.reads.iter().chain(&launch.writes).filter(large) {
            touched.insert(*buffer, (position, backwards));
        }
    }
}
