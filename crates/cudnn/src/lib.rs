//! The graph API of cuDNN 9 made safe: an operation graph, as plain data, becomes a plan, and plans are kept.
//!
//! A [`Cudnn`] is a handle bound to a device's compute stream. [`Cudnn::plan`] looks in memory, then on disk, then asks
//! cuDNN's heuristics and takes the first engine that finalises; [`Cudnn::autotune`] measures instead. A [`Planner`] does
//! the same for a GPU that is only described. Every error carries cuDNN's own reason.
//!
//! ```no_run
//! use ocelli_cuda::Device;
//! use ocelli_cudnn::{ConvolutionSpec, Cudnn, DataType, Operation, OperationGraph, PlanOptions, TensorSpec};
//!
//! let device = Device::new(0)?;
//! let cudnn = Cudnn::new(&device)?;
//! let [x, w, y] = [
//!     TensorSpec::nhwc(1, DataType::F16, 8, 56, 56, 64),
//!     TensorSpec::krsc(2, DataType::F16, 128, 3, 3, 64),
//!     TensorSpec::nhwc(3, DataType::F16, 8, 56, 56, 128),
//! ];
//! let memory = [device.alloc(x.bytes())?, device.alloc(w.bytes())?, device.alloc(y.bytes())?];
//! let spec = ConvolutionSpec { padding: [1, 1], ..Default::default() };
//! let graph = OperationGraph::new(vec![Operation::ConvolutionForward { x, w, y, spec }]);
//!
//! let plan = cudnn.plan(&graph, &PlanOptions::default())?;
//! let workspace = device.alloc(plan.workspace_bytes())?;
//! let bound = plan.bind(&[(1, memory[0].ptr()), (2, memory[1].ptr()), (3, memory[2].ptr())], workspace.ptr())?;
//! // SAFETY: the buffers hold the graph's tensors, and outlive the work.
//! unsafe { bound.execute()? };
//! device.synchronize()?;
//! # Ok::<(), ocelli_cudnn::Error>(())
//! ```

mod cache;
mod cudnn;
mod descriptor;
mod engine;
mod error;
mod graph;
mod handle;
mod lower;
mod options;
mod plan;
mod planner;
mod pointwise;
mod softmax;
mod tensor;
mod version;

pub use cudnn::Cudnn;
pub use engine::{BehaviorNote, NumericalNote};
pub use error::{Error, Result};
pub use graph::{Constant, ConvolutionSpec, Operation, OperationGraph, PointwiseParameters, ReductionMode};
pub use options::PlanOptions;
pub use plan::{BoundPlan, Plan};
pub use planner::{Planner, Time, Tuned};
pub use pointwise::PointwiseMode;
pub use softmax::SoftmaxSpec;
pub use tensor::{DataType, TensorSpec};
pub use version::Version;
