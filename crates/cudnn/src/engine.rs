//! Engines: what the heuristics offer, and what an engine says of itself.

use std::fmt;

use ocelli_cudnn_sys as sys;
use serde::{Deserialize, Serialize};

use crate::descriptor::Descriptor;
use crate::handle::Target;
use crate::lower::LoweredGraph;
use crate::{PlanOptions, Result};

/// What an engine says of its arithmetic.
///
/// Source: [`cudnnBackendNumericalNote_t`](https://docs.nvidia.com/deeplearning/cudnn/backend/latest/api/cudnn-graph-library.html).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum NumericalNote {
    /// Uses tensor cores; on f32 tensors that is TF32.
    TensorCore,
    /// Rounds its inputs to a smaller type.
    DownConvertInputs,
    /// Sums in a smaller type than asked.
    ReducedPrecisionReduction,
    /// Uses Fourier transforms.
    Fft,
    /// May give other bits in another run.
    Nondeterministic,
    /// Uses Winograd transforms.
    Winograd,
    /// Winograd in tiles of 4x4, 6x6 or 13x13.
    WinogradTile,
    /// Propagates NaN strictly.
    StrictNanPropagation,
    /// A note of a newer library.
    Other(i32),
}

/// What an engine needs or allows beside its arithmetic.
///
/// Source: [`cudnnBackendBehaviorNote_t`](https://docs.nvidia.com/deeplearning/cudnn/backend/latest/api/cudnn-graph-library.html).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum BehaviorNote {
    /// Its kernel is compiled when the plan is made: about a second.
    RuntimeCompilation,
    /// Can fill a CUDA graph with no capture.
    CudaGraphNativeApi,
    /// Calls cuBLASLt.
    CublasLtDependency,
    /// Another note.
    Other(i32),
}

impl NumericalNote {
    fn from_raw(note: sys::NumericalNote) -> NumericalNote {
        match note {
            sys::CUDNN_NUMERICAL_NOTE_TENSOR_CORE => NumericalNote::TensorCore,
            sys::CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS => NumericalNote::DownConvertInputs,
            sys::CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION => NumericalNote::ReducedPrecisionReduction,
            sys::CUDNN_NUMERICAL_NOTE_FFT => NumericalNote::Fft,
            sys::CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC => NumericalNote::Nondeterministic,
            sys::CUDNN_NUMERICAL_NOTE_WINOGRAD => NumericalNote::Winograd,
            sys::CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_4x4
            | sys::CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6
            | sys::CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13 => NumericalNote::WinogradTile,
            sys::CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP => NumericalNote::StrictNanPropagation,
            other => NumericalNote::Other(other),
        }
    }
}

impl BehaviorNote {
    fn from_raw(note: sys::BehaviorNote) -> BehaviorNote {
        match note {
            sys::CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION => BehaviorNote::RuntimeCompilation,
            sys::CUDNN_BEHAVIOR_NOTE_SUPPORTS_CUDA_GRAPH_NATIVE_API => BehaviorNote::CudaGraphNativeApi,
            sys::CUDNN_BEHAVIOR_NOTE_CUBLASLT_DEPENDENCY => BehaviorNote::CublasLtDependency,
            other => BehaviorNote::Other(other),
        }
    }
}

/// An engine with its settings: what a plan runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Engine {
    pub(crate) index: i64,
    /// Kinds of setting and their values.
    pub(crate) knobs: Vec<(i32, i64)>,
    pub(crate) numerical_notes: Vec<NumericalNote>,
    pub(crate) behavior_notes: Vec<BehaviorNote>,
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "engine {}", self.index)?;
        for (i, (kind, value)) in self.knobs.iter().enumerate() {
            write!(f, "{} {kind}={value}", if i == 0 { ", knobs" } else { "" })?;
        }
        Ok(())
    }
}

impl Engine {
    /// Reads what a finalised engine configuration holds.
    fn of(config: &Descriptor) -> Result<Engine> {
        let mut engines = config.get_descriptors(
            sys::CUDNN_ATTR_ENGINECFG_ENGINE,
            sys::CUDNN_BACKEND_ENGINE_DESCRIPTOR,
            "engine",
            1,
        )?;
        let mut engine = Engine { index: -1, knobs: vec![], numerical_notes: vec![], behavior_notes: vec![] };
        if let Some(descriptor) = engines.pop() {
            engine.index = descriptor.get_one(sys::CUDNN_ATTR_ENGINE_GLOBAL_INDEX)?;
            engine.numerical_notes = descriptor
                .get_enums(sys::CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, sys::CUDNN_TYPE_NUMERICAL_NOTE, NOTES)?
                .into_iter()
                .map(NumericalNote::from_raw)
                .collect();
            engine.behavior_notes = descriptor
                .get_enums(sys::CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, sys::CUDNN_TYPE_BEHAVIOR_NOTE, NOTES)?
                .into_iter()
                .map(BehaviorNote::from_raw)
                .collect();
        }
        for knob in config.get_descriptors(
            sys::CUDNN_ATTR_ENGINECFG_KNOB_CHOICES,
            sys::CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR,
            "knob choice",
            KNOBS,
        )? {
            let kind = knob.get_enums(sys::CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, sys::CUDNN_TYPE_KNOB_TYPE, 1)?;
            let value = knob.get_one(sys::CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE)?;
            engine.knobs.push((kind.first().copied().unwrap_or(-1), value));
        }
        Ok(engine)
    }

    /// Whether the options allow what the engine says of itself.
    pub(crate) fn is_allowed(&self, options: &PlanOptions) -> bool {
        use NumericalNote::*;
        let inexact = [TensorCore, DownConvertInputs, ReducedPrecisionReduction, Fft, Winograd, WinogradTile];
        !(options.deterministic && self.numerical_notes.contains(&Nondeterministic)
            || !options.tensor_cores && self.numerical_notes.iter().any(|note| inexact.contains(note))
            || !options.allow_runtime_compiled
                && self.behavior_notes.contains(&BehaviorNote::RuntimeCompilation))
    }
}

/// Room for an engine's notes, and for its settings, of which cuDNN does not say how many there are: more than any has.
const NOTES: usize = 64;
const KNOBS: usize = 64;

/// An engine, and its configuration as cuDNN wants it back.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) engine: Engine,
    pub(crate) config: Descriptor,
}

impl Candidate {
    pub(crate) fn new(config: Descriptor) -> Result<Candidate> {
        Ok(Candidate { engine: Engine::of(&config)?, config })
    }
}

/// The heuristics' answer for a graph: engine configurations, best first.
pub(crate) fn heuristics(
    target: &Target,
    graph: &LoweredGraph,
    mode: sys::HeuristicMode,
) -> Result<Vec<Descriptor>> {
    let mut heuristics =
        Descriptor::new(graph.graph.functions(), sys::CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, "heuristics")?;
    heuristics.set_descriptor(sys::CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, &graph.graph)?.set_enum(
        sys::CUDNN_ATTR_ENGINEHEUR_MODE,
        sys::CUDNN_TYPE_HEUR_MODE,
        mode,
    )?;
    target.set_heuristics_device(&mut heuristics)?;
    heuristics.finalize()?;
    let count = heuristics.count_descriptors(sys::CUDNN_ATTR_ENGINEHEUR_RESULTS)?;
    heuristics.get_descriptors(
        sys::CUDNN_ATTR_ENGINEHEUR_RESULTS,
        sys::CUDNN_BACKEND_ENGINECFG_DESCRIPTOR,
        "engine configuration",
        count,
    )
}
