//! A slow, obviously right interpreter of the graph, in `f64`, on the host: what every kernel and every pass of Ocelli is
//! held against. It is a tool of development and is not published.
//!
//! [`device`] runs whole programs, [`interpret`] one graph, [`check_gradient`] holds a derivative against finite
//! differences:
//!
//! ```
//! use ocelli_core::Tensor;
//!
//! # fn main() -> ocelli_core::Result<()> {
//! let device = ocelli_oracle::device();
//! let x = Tensor::from_slice(&device, &[-1.0f32, 2.0, 3.0], &[3])?;
//! assert_eq!(x.relu()?.sum()?.value()?, 5.0);
//! # Ok(())
//! # }
//! ```

mod check_plans;
mod executor;
mod finite_differences;
mod host_tensor;
mod interpret;
mod map;
mod minimise;
mod ops;
mod plan;
mod program;
mod random;
mod record;

pub use check_plans::check_plans;
pub use executor::{Oracle, device};
pub use finite_differences::check_gradient;
pub use host_tensor::HostTensor;
pub use interpret::{Bindings, Results, Rounding, interpret};
pub use minimise::minimise;
pub use plan::interpret_plan;
pub use program::{RandomProgram, training_step};
pub use random::Random;
pub use record::{Recorder, recording_device, shape_device};
