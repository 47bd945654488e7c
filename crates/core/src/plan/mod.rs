//! The planner: from a graph to a list of launches and one arena. Plain Rust with no GPU in it.
//!
//! Passes are pure functions: [`simplify`](simplify::simplify) and [`decompose`](decompose::decompose) from graph to
//! graph, [`rules`] let convolutions take over the work around them, [`cluster`](cluster::cluster) decides which pointwise work and sums share a launch, [`schedule`](schedule::schedule)
//! orders launches and gives every value a buffer, [`memory`] gives every buffer an offset. [`PlanOptions`] has a switch
//! for each optimisation: the bisecting tool.

mod amounts;
pub mod cluster;
pub mod costs;
pub mod decompose;
mod launch;
pub mod memory;
pub mod precision;
pub mod purpose;
mod recompute;
pub mod rules;
pub mod schedule;
pub mod simplify;
pub mod split;

pub use launch::{
    BufferClass, BufferId, BufferSpec, Convolution, ConvolutionKind, Launch, LaunchKind, MatmulEpilogue,
    MatmulLaunch, Operand,
};

pub use purpose::{Purpose, Source};
pub use rules::Decision;

use crate::error::Result;
use crate::graph::{Graph, verify};
use costs::{Analytic, AtAnyPrice, Costs};
use rules::fuse_convolutions;
use rules::rematerialise::rematerialise;

/// Which optimisations the planner makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PlanOptions {
    /// Let pointwise work and sums share launches; off, every operation is a launch.
    pub fuse: bool,
    /// Let launches compute pointwise values again where that saves reading or writing them.
    pub recompute: bool,
    /// Let convolutions take over the work around them, where that is faster (see [`rules`]).
    pub fuse_convolutions: bool,
    /// Let the backward pass make cheap activations again instead of keeping them: a third less memory for a step that
    /// takes a little longer. Off unless asked for.
    pub save_memory: bool,
    /// Let them also where that is slower: for tests of what they compute then.
    pub fuse_at_any_price: bool,
    /// Let pointwise launches walk through large tensors in turns from the start and from the end.
    pub alternate: bool,
    /// Let kernels be launched before the one ahead of them is done, where the GPU can; they wait for it themselves.
    pub launch_ahead: bool,
    /// Let buffers that do not live at the same time share memory.
    pub share_memory: bool,
    /// Fold batch normalisation into the weights where nothing is differentiated.
    pub fold_batch_norm: bool,
}

impl Default for PlanOptions {
    fn default() -> PlanOptions {
        PlanOptions {
            fuse: true,
            fuse_convolutions: true,
            fuse_at_any_price: false,
            fold_batch_norm: true,
            recompute: true,
            save_memory: false,
            alternate: true,
            launch_ahead: true,
            share_memory: true,
        }
    }
}

/// A list of launches over buffers whose places are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What is launched, in order.
    pub launches: Vec<Launch>,
    /// The buffers that launches read and write.
    pub buffers: Vec<BufferSpec>,
    /// Bytes of what lives within a step.
    pub arena_bytes: usize,
    /// Where each root lies when all launches are done.
    pub roots: Vec<BufferId>,
    /// What was chosen where there was a choice, and why.
    pub decisions: Vec<Decision>,
}

impl Plan {
    /// The largest tensors that live within a step, in words: sizes, types and what makes them.
    pub fn largest(&self, count: usize) -> String {
        let in_arena = |spec: &BufferSpec| matches!(spec.class, BufferClass::Arena(_));
        let mut ids: Vec<BufferId> = (0..self.buffers.len() as BufferId).collect();
        ids.retain(|&id| in_arena(&self.buffers[id as usize]));
        ids.sort_by_key(|&id| std::cmp::Reverse(self.buffers[id as usize].ty.bytes()));
        let words = |&id: &BufferId| {
            let ty = self.buffers[id as usize].ty;
            let maker = self.launches.iter().find(|launch| launch.writes.contains(&id));
            let maker = maker.map_or("nothing", |launch| launch.label.as_str());
            format!("{ty} of {:.1} MiB ({maker})", ty.bytes() as f64 / f64::from(1 << 20))
        };
        ids.iter().take(count).map(words).collect::<Vec<_>>().join(", ")
    }
}

/// Plans a whole graph (see [`crate::WorkKey::expand`]).
///
/// # Errors
/// [`crate::Error::Plan`] when a pass breaks what must hold of a graph: a defect of this library.
pub fn plan(graph: &Graph, options: PlanOptions) -> Result<Plan> {
    plan_with(graph, options, &Analytic::default())
}

/// The same, where it is known what launches cost.
///
/// # Errors
/// As [`plan`], and what `costs` fails with.
pub fn plan_with(graph: &Graph, options: PlanOptions, costs: &dyn Costs) -> Result<Plan> {
    let (graph, decisions) = rewrite(graph, options, costs)?;
    Ok(Plan { decisions, ..lower(&graph, options)? })
}

/// The first half of planning, from graph to graph: the passes and the rules.
///
/// # Errors
/// As [`plan_with`].
pub fn rewrite(graph: &Graph, options: PlanOptions, costs: &dyn Costs) -> Result<(Graph, Vec<Decision>)> {
    let mut graph = passes(graph)?;
    let mut decisions = Vec::new();
    if options.fuse_convolutions {
        (graph, decisions) = match options.fuse_at_any_price {
            true => fuse_convolutions(&graph, &AtAnyPrice(costs))?,
            false => fuse_convolutions(&graph, costs)?,
        };
    }
    if options.save_memory {
        graph = rematerialise(&graph)?;
    }
    if cfg!(debug_assertions) {
        verify(&graph, "rules")?;
    }
    Ok((graph, decisions))
}

/// The second half: from a rewritten graph to launches.
///
/// # Errors
/// As [`plan`].
pub fn lower(graph: &Graph, options: PlanOptions) -> Result<Plan> {
    let clusters = cluster::cluster(graph, options);
    schedule::schedule(graph, &clusters, options)
}

/// The passes from graph to graph.
///
/// # Errors
/// As [`plan`].
pub fn passes(graph: &Graph) -> Result<Graph> {
    let mut graph = graph.clone();
    for (name, pass) in PASSES {
        graph = pass(&graph)?;
        if cfg!(debug_assertions) {
            verify(&graph, name)?;
        }
    }
    Ok(graph)
}

type Pass = fn(&Graph) -> Result<Graph>;

/// The passes from graph to graph, in order.
pub const PASSES: &[(&str, Pass)] = &[
    ("decompose", decompose::decompose),
    ("simplify", simplify::simplify),
    ("simplify again", simplify::simplify),
    ("dead code", Graph::without_dead_code),
];
