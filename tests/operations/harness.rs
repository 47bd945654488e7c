//! One case: an operation on fresh random inputs, forward and backward, in each element type, on the GPU and on the
//! oracle.
//!
//! The GPU runs each case four times: forward alone; then forward and backward as one plan, launched one by one,
//! captured, and replayed. A replay that relies on something zeroed once differs then.
//!
//! # How close is close enough
//!
//! Inputs are rounded to their type before either side sees them, so what is left are the roundings of results. `f32`:
//! a relative error `||gpu - oracle|| / ||oracle||` of 1e-5, with TensorFloat-32 off. 16 bits: one unit roundoff (2^-11
//! in `f16`, 2^-8 in `bf16`) for each value that may be stored in 16 bits on the way to a result, the result included;
//! arithmetic within a kernel, and every sum, is `f32`. No single element may be further off than four times that, times
//! the largest element. A result of no roundings at all (elements moved, not computed) must be the same bit for bit.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use ocelli::plan::PlanOptions;
use ocelli::{DType, Device, PlanReport, Result, Shape, Tensor, TensorType, evaluate, gradients};
use ocelli_oracle::{HostTensor, Random};

/// Relative error allowed in `f32`.
const F32_TOLERANCE: f64 = 1e-5;
/// Results of a smaller root mean square are what is left when numbers of order one cancel: they are held to this size.
const FLOOR: f64 = 1e-4;

/// The cases of one test. What failed is listed at the end, so that one run tells all.
#[derive(Default)]
pub(crate) struct Suite {
    failures: Vec<String>,
    fusing: bool,
}

impl Suite {
    /// A suite whose convolutions take over the work around them wherever cuDNN can, slower or not.
    pub(crate) fn fusing() -> Suite {
        Suite { failures: Vec::new(), fusing: true }
    }

    /// Holds the GPU to the oracle. `build` is the operation; it is given one tensor for each input of the case.
    pub(crate) fn check(&mut self, case: Case, build: impl Fn(&[Tensor]) -> Result<Tensor>) {
        self.check_planned(case, build, |_, _| Ok(()));
    }

    /// The same, where `planned` looks at what was planned for each run in an element type, and says what is wrong.
    pub(crate) fn check_planned(
        &mut self,
        case: Case,
        build: impl Fn(&[Tensor]) -> Result<Tensor>,
        planned: impl Fn(DType, &PlanReport) -> Result<(), String>,
    ) {
        for &dtype in case.dtypes {
            let label = format!("{} in {dtype} of {:?}", case.operation, case.shapes());
            let seed = seed_of(&label);
            let inputs = case.draw(dtype, seed);
            let most = if case.forward_alone { Extent::Forward } else { Extent::Backward };
            let expected = match run(&ocelli_oracle::device(), &inputs, seed, most, &build) {
                Ok(expected) => expected,
                Err(error) => {
                    self.failures.push(format!("{label}: the oracle: {error}"));
                    continue;
                }
            };
            let lock = gpu();
            let device = if self.fusing { fusing_gpu() } else { &*lock };
            poison(device);
            let runs = [
                ("forward alone", Extent::Forward),
                ("first run", most),
                ("captured run", most),
                ("replayed run", most),
            ];
            for (name, extent) in runs {
                let found = run(device, &inputs, seed, extent, &build);
                let compared = found.map_err(|error| error.to_string()).and_then(|found| {
                    let mut pairs = found.iter().zip(&expected);
                    pairs.try_for_each(|(found, expected)| case.compare(dtype, found, expected))?;
                    let reports = device.gpu().expect("a GPU").report();
                    reports.last().map_or(Ok(()), |report| planned(dtype, report))
                });
                if let Err(error) = compared {
                    self.failures.push(format!("{label}, {name}: {error}"));
                    break;
                }
            }
        }
    }
}

impl Drop for Suite {
    fn drop(&mut self) {
        if !self.failures.is_empty() && !std::thread::panicking() {
            let (count, list) = (self.failures.len(), self.failures.join("\n"));
            panic!("{count} failed; to repeat, set OCELLI_TEST_SEED={}\n{list}", seed());
        }
    }
}

/// An operation and the inputs that it is tested on.
pub(crate) struct Case {
    operation: String,
    inputs: Vec<Input>,
    roundings: u32,
    dtypes: &'static [DType],
    forward_alone: bool,
}

/// A case with these inputs.
pub(crate) fn case(operation: impl Into<String>, inputs: impl Into<Vec<Input>>) -> Case {
    let dtypes = &[DType::F32, DType::F16, DType::BF16];
    Case { operation: operation.into(), inputs: inputs.into(), roundings: 2, dtypes, forward_alone: false }
}

impl Case {
    /// How many values may be stored in 16 bits on the way to a result, the result included; two unless set, so that the
    /// planner is free to store one product. With 0 the bits must agree.
    pub(crate) fn roundings(mut self, roundings: u32) -> Case {
        self.roundings = roundings;
        self
    }

    /// Only in `f32`: for chains so long that 16 bits would say nothing.
    pub(crate) fn only_f32(mut self) -> Case {
        self.dtypes = &[DType::F32];
        self
    }

    /// Without gradients: for what has none, or a jump in it that rounding decides.
    pub(crate) fn forward_alone(mut self) -> Case {
        self.forward_alone = true;
        self
    }

    fn shapes(&self) -> Vec<Shape> {
        self.inputs.iter().map(|input| input.shape).collect()
    }

    fn draw(&self, dtype: DType, seed: u64) -> Vec<HostTensor> {
        let mut random = Random::new(seed);
        self.inputs.iter().map(|input| input.draw(dtype, &mut random)).collect()
    }

    fn compare(&self, dtype: DType, found: &Root, expected: &Root) -> Result<(), String> {
        let name = &expected.name;
        if found.ty != expected.ty {
            return Err(format!("{name} is {}, not {}", found.ty, expected.ty));
        }
        let tolerance = match (self.roundings, expected.ty.dtype) {
            (0, _) => 0.0,
            (_, DType::F32) if dtype == DType::F32 => F32_TOLERANCE,
            (roundings, DType::F32) => F32_TOLERANCE + f64::from(roundings - 1) * unit_roundoff(dtype),
            (_, DType::I32 | DType::U8) => 0.0,
            (roundings, _) => f64::from(roundings) * unit_roundoff(dtype),
        };
        let pairs = || found.values.iter().zip(&expected.values).map(|(&a, &b)| (f64::from(a), f64::from(b)));
        let difference = |(a, b): (f64, f64)| if a == b { 0.0 } else { (a - b).abs() };
        if let Some(element) = pairs().position(|pair| !difference(pair).is_finite()) {
            let (a, b) = (found.values[element], expected.values[element]);
            return Err(format!("{name}, element {element}: the GPU has {a}, the oracle {b}"));
        }
        let norm = |squares: f64| squares.sqrt();
        let floor = FLOOR * (expected.values.len() as f64).sqrt();
        let size = norm(pairs().map(|(_, b)| b * b).sum()).max(floor);
        let error = norm(pairs().map(|pair| difference(pair).powi(2)).sum()) / size;
        let largest = pairs().map(|(_, b)| b.abs()).fold(FLOOR, f64::max);
        let worst = pairs().map(difference).enumerate().fold((0, 0.0), |a, b| if b.1 > a.1 { b } else { a });
        if error <= tolerance && worst.1 <= 4.0 * tolerance * largest {
            return Ok(());
        }
        let (a, b) = (found.values[worst.0], expected.values[worst.0]);
        Err(format!(
            "{name} ({}): relative error {error:.2e}, allowed {tolerance:.2e}; at worst, at element {}, the GPU has {a}, the \
             oracle {b}",
            expected.ty, worst.0
        ))
    }
}

/// An input and what it is drawn from.
#[derive(Clone)]
pub(crate) struct Input {
    shape: Shape,
    dtype: Option<DType>,
    values: Values,
}

#[derive(Clone)]
enum Values {
    Numbers { scale: f64, negative: f64 },
    Labels { classes: usize },
    Given(Vec<f64>),
}

/// Numbers of either sign and of the case's type, the positive ones more frequent: sums of them do not cancel by chance.
pub(crate) fn numbers(shape: &[usize]) -> Input {
    let shape = Shape::new(shape).unwrap();
    Input { shape, dtype: None, values: Values::Numbers { scale: 1.0, negative: 0.2 } }
}

/// Positive numbers.
pub(crate) fn positive(shape: &[usize]) -> Input {
    Input { values: Values::Numbers { scale: 1.0, negative: 0.0 }, ..numbers(shape) }
}

/// Labels or indices in `0..classes`.
pub(crate) fn labels(shape: &[usize], classes: usize) -> Input {
    Input { dtype: Some(DType::I32), values: Values::Labels { classes }, ..numbers(shape) }
}

/// These labels or indices.
pub(crate) fn indices(values: &[i32]) -> Input {
    let given = values.iter().map(|&value| f64::from(value)).collect();
    Input { dtype: Some(DType::I32), values: Values::Given(given), ..numbers(&[values.len()]) }
}

impl Input {
    /// `f32` whatever the case's type is, as parameters and statistics are.
    pub(crate) fn f32(self) -> Input {
        Input { dtype: Some(DType::F32), ..self }
    }

    /// Magnitudes up to twice this.
    pub(crate) fn scaled(mut self, by: f64) -> Input {
        if let Values::Numbers { scale, .. } = &mut self.values {
            *scale = by;
        }
        self
    }

    /// As many negative numbers as positive ones.
    pub(crate) fn even(mut self) -> Input {
        if let Values::Numbers { negative, .. } = &mut self.values {
            *negative = 0.5;
        }
        self
    }

    fn draw(&self, dtype: DType, random: &mut Random) -> HostTensor {
        let ty = TensorType::new(self.dtype.unwrap_or(dtype), self.shape);
        match &self.values {
            Values::Labels { classes } => random.labels(self.shape, *classes),
            Values::Given(values) => HostTensor::new(ty, values.clone()),
            Values::Numbers { scale, negative } => draw(ty, *scale, *negative, random),
        }
    }
}

fn draw(ty: TensorType, scale: f64, negative: f64, random: &mut Random) -> HostTensor {
    let mut tensor = random.positive(ty);
    for value in &mut tensor.values {
        *value *= if random.chance(negative) { -scale } else { scale };
    }
    tensor.rounded()
}

/// How much of a case is run.
#[derive(Clone, Copy, PartialEq)]
enum Extent {
    Forward,
    Backward,
}

/// A result.
struct Root {
    name: String,
    ty: TensorType,
    values: Vec<f32>,
}

/// The result, and the gradients of `sum(result * cotangent)` for all inputs of floating-point numbers; all of it one
/// plan.
fn run(
    device: &Device,
    inputs: &[HostTensor],
    seed: u64,
    extent: Extent,
    build: impl Fn(&[Tensor]) -> Result<Tensor>,
) -> Result<Vec<Root>> {
    device.manual_seed(seed);
    let inputs = inputs.iter().map(|input| input.to_tensor(device)).collect::<Result<Vec<_>>>()?;
    let y = build(&inputs)?;
    let mut roots = vec![("the result".to_string(), y.clone())];
    if extent == Extent::Backward && y.dtype().is_float() {
        let cotangent = draw(y.ty(), 1.0, 0.2, &mut Random::new(!seed)).to_tensor(device)?;
        let loss = y.mul(&cotangent)?.sum()?;
        let wanted: Vec<usize> = (0..inputs.len()).filter(|&i| inputs[i].dtype().is_float()).collect();
        let targets: Vec<&Tensor> = wanted.iter().map(|&i| &inputs[i]).collect();
        let names = wanted.iter().map(|i| format!("the gradient of input {i}"));
        roots.extend(names.zip(gradients(&loss, &targets)?));
    }
    evaluate(&roots.iter().map(|(_, root)| root).collect::<Vec<_>>())?;
    let read = |(name, root): (String, Tensor)| Ok(Root { name, ty: root.ty(), values: root.to_f32_vec()? });
    roots.into_iter().map(read).collect()
}

fn unit_roundoff(dtype: DType) -> f64 {
    match dtype {
        DType::F16 => 2f64.powi(-11),
        DType::BF16 => 2f64.powi(-8),
        _ => 2f64.powi(-24),
    }
}

/// The one GPU of these tests, for one of them at a time.
pub(crate) fn gpu() -> MutexGuard<'static, Device> {
    static GPU: OnceLock<Mutex<Device>> = OnceLock::new();
    let gpu = GPU.get_or_init(|| Mutex::new(Device::new(0).expect("a GPU")));
    gpu.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The same GPU with convolutions that take over the work around them wherever they can; whoever uses it holds the lock
/// of [`gpu`].
fn fusing_gpu() -> &'static Device {
    static GPU: OnceLock<Device> = OnceLock::new();
    GPU.get_or_init(|| {
        let options = PlanOptions { fuse_at_any_price: true, ..PlanOptions::default() };
        Device::with_plan_options(0, options).expect("a GPU")
    })
}

/// Fills memory that the pool would hand out next with 0xff bytes, which are not numbers in every floating-point type:
/// whoever reads what was never written shows it.
///
/// Buffers of descending sizes are taken until the pool has to grow, so that fragments are filled too.
pub(crate) fn poison(device: &Device) {
    let gpu = device.gpu().expect("a GPU");
    let mut held = Vec::new();
    let mut bytes = 16 << 20;
    while bytes >= 256 {
        let ones = Tensor::from_slice(device, &vec![0xffu8; bytes], &[bytes]).unwrap();
        for _ in 0..32 {
            let before = gpu.memory().unwrap().reserved;
            held.push(ones.to_device().unwrap());
            if gpu.memory().unwrap().reserved > before {
                break;
            }
        }
        bytes /= 4;
    }
}

/// The seed of this run: another one each time, unless OCELLI_TEST_SEED repeats one.
pub(crate) fn seed() -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    *SEED.get_or_init(|| match std::env::var("OCELLI_TEST_SEED") {
        Ok(seed) => seed.parse().expect("OCELLI_TEST_SEED is a number"),
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| now.as_nanos() as u64 >> 10),
    })
}

/// A seed for what bears this label: every case draws other numbers, whatever ran before it.
pub(crate) fn seed_of(label: &str) -> u64 {
    label.bytes().fold(seed(), |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}
