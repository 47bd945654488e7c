//! What plans consist of, for `--profile` and for tests that hold it.

use crate::plan::Decision;

/// How often things happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counters {
    /// Graphs differentiated and planned.
    pub planned: u64,
    /// Plans bound to memory.
    pub bound: u64,
    /// Plans run.
    pub runs: u64,
}

/// What a plan consists of.
#[derive(Clone, Debug)]
pub struct PlanReport {
    /// Its launches, in order.
    pub launches: Vec<LaunchReport>,
    /// What the planner chose where it had a choice, and why.
    pub decisions: Vec<Decision>,
    /// Bytes of what lives within a step.
    pub arena_bytes: usize,
    /// Bytes of scratch space that launches use one after the other.
    pub workspace_bytes: usize,
    /// Whether it is replayed as a CUDA graph.
    pub replayed: bool,
    /// The number of the run in which it was last used.
    pub last_run: u64,
}

/// One launch of a plan.
#[derive(Clone, Debug)]
pub struct LaunchReport {
    /// What it does.
    pub label: String,
    /// How: the kernel's name, or the library's engine.
    pub how: String,
}

/// How long the launches of a plan take.
#[derive(Clone, Debug)]
pub struct PlanTimes {
    /// Each launch by itself, its operands in the cache as far as they fit.
    pub launches: Vec<LaunchTime>,
    /// All launches, as a step replays them.
    pub step_microseconds: f32,
}

/// How long a launch takes.
#[derive(Clone, Debug)]
pub struct LaunchTime {
    /// The launch.
    pub launch: LaunchReport,
    /// Its time.
    pub microseconds: f32,
}
