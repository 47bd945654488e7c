//! Tensors, the graph, autograd, the planner and the executor of Ocelli.
mod augment;
pub mod autograd;
pub mod codegen;
mod device;
mod error;
mod execute;
pub mod graph;
pub mod init;
mod loss;
pub mod nn;
pub mod ops;
pub mod optim;
pub mod plan;
mod session;
mod state;
mod tensor;
mod training;
mod types;
mod work;

pub use augment::{Area, MixSampler};
pub use device::{Buffer, Device, Executor, Half, Precision};
pub use error::{Error, Origin, Result};
pub use execute::{
    Ceilings, Counters, ExplainedLaunch, Explanation, Gpu, GroupTotal, LaunchGroup, LaunchReport, LaunchTime,
    PlanReport, PlanTimes,
};
pub use loss::CrossEntropyConfig;
pub use session::{GpuRuns, Held, Input, Latencies, Outputs, Session, Times};
pub use state::State;
pub use tensor::{Data, Element, Tensor, evaluate, gradients};
pub use types::{DType, Real, Shape, TensorType};
pub use work::{Request, Rule, Step, Task, Work, WorkKey};
