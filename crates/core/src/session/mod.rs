//! Networks that serve: planned, bound, warm, and run again and again with the same weights.

mod held;
mod input;
mod latencies;

use std::sync::Arc;
use std::time::Instant;

pub use held::{GpuRuns, Held};
pub(crate) use held::{Rerun, missing};
pub use input::{Input, Outputs};
use input::{Values, with_batch};
pub use latencies::{Latencies, Times};

use crate::device::{Buffer, Device, Precision};
use crate::error::{Error, Origin, Result};
use crate::execute::{Explanation, PlanReport, PlanTimes};
use crate::graph::Graph;
use crate::ops::Op;
use crate::plan::Decision;
use crate::plan::split::{Given, Split, split};
use crate::state::State;
use crate::tensor::{Data, Element, Linearised, Mode, Tensor, linearise};
use crate::types::TensorType;
use crate::work::{Task, Work, WorkKey};

/// Plans for so many batch sizes are kept, unless [`Session::keep_plans`] says otherwise.
const PLANS: usize = 8;

/// A network that serves.
///
/// When it is made, its network is traced and planned, its engines are chosen, and what follows from the weights alone is
/// computed: batch normalisation is folded into the filters, filters are cast to 16 bits. A run is then one copy of the
/// input, one replay of a CUDA graph and one copy of the output, in which nothing is traced, looked up or allocated.
///
/// It keeps the weights as they are when it is made, also while they are trained on; [`Session::refresh`] takes over their
/// new values. The first extent of each input is the batch: each size gets a plan of its own when it is first seen, or in
/// [`Session::warm_up`].
///
/// ```no_run
/// use ocelli_core::nn::{Conv2d, Conv2dConfig, Module, Params, Seed};
/// use ocelli_core::{DType, Device, Precision, Result, Session, Shape, TensorType};
///
/// # fn main() -> Result<()> {
/// let device = Device::new(0)?;
/// let params = Params::new(&device, Seed(7));
/// let conv = Conv2d::new(&params / "conv", 3, 10, Conv2dConfig::default())?;
/// params.eval();
/// let pixels = TensorType::new(DType::U8, Shape::nhwc(1, 32, 32, 3));
/// let mut session = Session::new(&device, pixels, Precision::mixed_f16(), move |images| {
///     let x = images.cast(DType::F32)?.mul_scalar(1.0 / 255.0)?;
///     conv.forward(&x)?.mean_images()?.flatten()?.softmax()
/// })?;
/// let answer = session.run(&[127u8; 32 * 32 * 3])?;
/// println!("{:?}", answer.get::<f32>(0)?);
/// println!("{}", session.latencies(1000)?);
/// # Ok(())
/// # }
/// ```
pub struct Session {
    device: Device,
    precision: Precision,
    inputs: Vec<TensorType>,
    trace: Box<Trace>,
    preparations: Vec<Arc<Preparation>>,
    plans: Vec<Ready>,
    /// Which of the plans ran last.
    current: usize,
    most_plans: usize,
    runs: u64,
}

type Trace = dyn Fn(&[Tensor]) -> Result<Vec<Tensor>> + Send;

/// What follows from the weights alone, computed.
struct Preparation {
    work: Work,
    values: Vec<(TensorType, Buffer)>,
}

/// A plan for one batch size.
struct Ready {
    batch: usize,
    outputs: Vec<TensorType>,
    decisions: Vec<Decision>,
    held: Box<dyn Held>,
    /// Its buffers are bound.
    preparation: Arc<Preparation>,
    last_run: u64,
}

impl Session {
    /// A session of a network with one input of this type, whose first extent is the batch size that is planned at once.
    /// `network` is traced once for each batch size; it yields one tensor, or several as a `Vec` or an array.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for an input without extents or values, for no output, and for a network in training
    /// mode; what tracing, planning and running may fail with.
    #[track_caller]
    pub fn new<O: Into<Vec<Tensor>>>(
        device: &Device,
        input: TensorType,
        precision: Precision,
        network: impl Fn(&Tensor) -> Result<O> + Send + 'static,
    ) -> Result<Session> {
        Session::with_inputs(device, &[input], precision, move |inputs| network(&inputs[0]))
    }

    /// A session of a network with several inputs, whose first extents are all the batch size.
    ///
    /// # Errors
    /// As [`Session::new`]; [`Error::SessionInput`] when the first extents differ.
    #[track_caller]
    pub fn with_inputs<O: Into<Vec<Tensor>>>(
        device: &Device,
        inputs: &[TensorType],
        precision: Precision,
        network: impl Fn(&[Tensor]) -> Result<O> + Send + 'static,
    ) -> Result<Session> {
        let Some(&first) = inputs.first() else { return Err(invalid("a session needs an input")) };
        for (index, &expected) in inputs.iter().enumerate() {
            if expected.shape.rank() == 0 || expected.shape.elements() == 0 {
                return Err(invalid(format!("input {index} is {expected}, which holds no batch")));
            }
            if expected.shape.dims()[0] != first.shape.dims()[0] {
                let found = format!("input 0 is {first}");
                return Err(Error::SessionInput { index, expected, found });
            }
        }
        let mut session = Session {
            device: device.clone(),
            precision,
            inputs: inputs.to_vec(),
            trace: Box::new(move |inputs| Ok(network(inputs)?.into())),
            preparations: Vec::new(),
            plans: Vec::new(),
            current: 0,
            most_plans: PLANS,
            runs: 0,
        };
        session.warm_up(&[first.shape.dims()[0]])?;
        Ok(session)
    }

    /// Makes plans for these batch sizes, so that the first run of each is as fast as any other.
    ///
    /// # Errors
    /// As [`Session::new`].
    #[track_caller]
    pub fn warm_up(&mut self, batches: &[usize]) -> Result<()> {
        batches.iter().try_for_each(|&batch| self.choose(batch))
    }

    /// Keeps the plans of at most so many batch sizes, at least one; the one unused for longest goes first.
    pub fn keep_plans(&mut self, most: usize) {
        self.most_plans = most.max(1);
        while self.plans.len() > self.most_plans {
            self.drop_oldest();
        }
    }

    /// The batch sizes that plans are kept for.
    pub fn planned_batches(&self) -> impl Iterator<Item = usize> {
        self.plans.iter().map(|ready| ready.batch)
    }

    /// Takes over the present values of the weights, in place.
    ///
    /// # Errors
    /// What running may fail with.
    pub fn refresh(&mut self) -> Result<()> {
        let executor = self.device.executor();
        for preparation in &self.preparations {
            let values = preparation.compute(&self.device)?;
            for ((ty, kept), new) in preparation.values.iter().zip(&values) {
                executor.assign(kept, new, *ty)?;
            }
        }
        Ok(())
    }

    /// Runs the network on one input: a slice of `f32`, `u8` or another element type, or a tensor. How many values there
    /// are says how large the batch is.
    ///
    /// # Errors
    /// [`Error::SessionInput`] when the values do not fit the input; for a batch size that is seen for the first time what
    /// [`Session::new`] may fail with.
    #[track_caller]
    pub fn run<'a>(&mut self, input: impl Into<Input<'a>>) -> Result<Outputs<'_>> {
        self.run_all(&[input.into()])
    }

    /// Runs the network on several inputs.
    ///
    /// # Errors
    /// As [`Session::run`]; [`Error::InvalidArgument`] when there are more or fewer of them.
    #[track_caller]
    pub fn run_all(&mut self, inputs: &[Input<'_>]) -> Result<Outputs<'_>> {
        if inputs.len() != self.inputs.len() {
            return Err(invalid(format!("{} inputs were given, not {}", inputs.len(), self.inputs.len())));
        }
        let batch = inputs[0].batch(0, self.inputs[0])?;
        for (index, input) in inputs.iter().enumerate().skip(1) {
            let expected = self.inputs[index];
            let own = input.batch(index, expected)?;
            if own != batch {
                let found = format!("{own} of them were given, and {batch} for input 0");
                return Err(Error::SessionInput { index, expected, found });
            }
        }
        self.choose(batch)?;
        let held = &mut self.plans[self.current].held;
        let mut given: Vec<Option<Buffer>> = Vec::new();
        for (index, input) in inputs.iter().enumerate() {
            match input.0 {
                Values::Host(_, bytes) => held.input(index)?.copy_from_slice(bytes),
                Values::Tensor(tensor) => {
                    if tensor.device() != &self.device {
                        return Err(Error::DeviceMismatch { operation: "session" });
                    }
                    given.resize(index, None);
                    given.push(Some(tensor.realise()?));
                }
            }
        }
        self.run_chosen(&given)
    }

    /// Runs the network on values that `fill` writes where the GPU copies them from: it saves a copy on the host. The
    /// place holds what it held before.
    ///
    /// # Errors
    /// As [`Session::run`]; [`Error::InvalidArgument`] when there are several inputs.
    #[track_caller]
    pub fn run_with<T: Element>(&mut self, batch: usize, fill: impl FnOnce(&mut [T])) -> Result<Outputs<'_>> {
        let [expected] = self.inputs[..] else {
            return Err(invalid("run_with takes a session with one input"));
        };
        if expected.dtype != T::DTYPE {
            let found = format!("{} values were to be written", T::DTYPE);
            return Err(Error::SessionInput { index: 0, expected, found });
        }
        self.choose(batch)?;
        let bytes = self.plans[self.current].held.input(0)?;
        let values = bytemuck::try_cast_slice_mut(bytes);
        fill(values.map_err(|error| Error::Plan { pass: "session", what: error.to_string() })?);
        self.run_chosen(&[])
    }

    /// Runs the network on one input and copies its one output to `output`.
    ///
    /// # Errors
    /// As [`Session::run`]; [`Error::InvalidArgument`] when there are several outputs, [`Error::ReadType`] and
    /// [`Error::LengthMismatch`] when `output` is not as the network's is.
    #[track_caller]
    pub fn run_into<'a, T: Element>(&mut self, input: impl Into<Input<'a>>, output: &mut [T]) -> Result<()> {
        let outputs = self.run(input)?;
        let &[ty] = outputs.types else {
            return Err(invalid(format!(
                "run_into takes a session with one output, not {}",
                outputs.count()
            )));
        };
        let values = outputs.get::<T>(0)?;
        if values.len() != output.len() {
            return Err(Error::LengthMismatch { count: output.len(), shape: ty.shape });
        }
        output.copy_from_slice(values);
        Ok(())
    }

    /// Runs the network so often on the batch that ran last, and says how long that took.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for no runs; what running may fail with.
    #[track_caller]
    pub fn latencies(&mut self, runs: usize) -> Result<Latencies> {
        let executor = self.device.executor();
        let Ready { held, batch, outputs, .. } = &mut self.plans[self.current];
        let mut inputs = Vec::with_capacity(self.inputs.len());
        for index in 0..self.inputs.len() {
            inputs.push(held.input(index)?.to_vec());
        }
        let mut answers: Vec<Vec<u8>> = outputs.iter().map(|ty| vec![0; ty.bytes()]).collect();
        let mut times = Vec::with_capacity(runs);
        for _ in 0..runs {
            let start = Instant::now();
            for (index, bytes) in inputs.iter().enumerate() {
                held.input(index)?.copy_from_slice(bytes);
            }
            held.run(executor, &[])?;
            for (index, answer) in answers.iter_mut().enumerate() {
                answer.copy_from_slice(held.output(index)?);
            }
            times.push(start.elapsed().as_secs_f64() * 1e6);
        }
        let gpu = held.gpu_times(executor, runs)?;
        let (with_copies, launches) = gpu.map(|gpu| (gpu.with_copies, gpu.launches)).unzip();
        Ok(Latencies {
            batch: *batch,
            end_to_end: Times::of(times).ok_or_else(|| invalid("latencies of no runs"))?,
            gpu: with_copies.and_then(Times::of),
            launches: launches.and_then(Times::of),
        })
    }

    /// What the plan of the batch that ran last consists of; nothing where there is no GPU.
    pub fn report(&self) -> Option<PlanReport> {
        self.plans[self.current].held.report()
    }

    /// What the planner chose for the batch that ran last where it had a choice, and why.
    pub fn decisions(&self) -> &[Decision] {
        &self.plans[self.current].decisions
    }

    /// How long each launch of the plan of the batch that ran last takes by itself; nothing where there is no GPU.
    ///
    /// # Errors
    /// What a launch may fail with.
    pub fn profile(&self) -> Result<Option<PlanTimes>> {
        self.plans[self.current].held.profile(self.device.executor())
    }

    /// Where the time of the plan of the batch that ran last goes, launch by launch; nothing where there is no GPU.
    ///
    /// # Errors
    /// What a launch may fail with.
    pub fn explain(&self) -> Result<Option<Explanation>> {
        let Ready { held, decisions, .. } = &self.plans[self.current];
        let explanation = held.explain(self.device.executor())?;
        Ok(explanation.map(|explanation| Explanation { decisions: decisions.clone(), ..explanation }))
    }

    /// The device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Makes the plan of a batch size the current one; it is made if need be.
    #[track_caller]
    fn choose(&mut self, batch: usize) -> Result<()> {
        if self.plans.get(self.current).is_some_and(|ready| ready.batch == batch) {
            return Ok(());
        }
        self.current = match self.plans.iter().position(|ready| ready.batch == batch) {
            Some(position) => position,
            None => {
                let ready = self.make_ready(batch)?;
                self.plans.push(ready);
                if self.plans.len() > self.most_plans {
                    self.drop_oldest();
                }
                self.plans.len() - 1
            }
        };
        Ok(())
    }

    fn drop_oldest(&mut self) {
        let oldest = (0..self.plans.len()).min_by_key(|&position| self.plans[position].last_run);
        if let Some(oldest) = oldest {
            self.plans.remove(oldest);
        }
        let plans = &self.plans;
        self.preparations
            .retain(|preparation| plans.iter().any(|ready| Arc::ptr_eq(&ready.preparation, preparation)));
        self.current = 0;
    }

    fn run_chosen(&mut self, given: &[Option<Buffer>]) -> Result<Outputs<'_>> {
        self.runs += 1;
        let ready = &mut self.plans[self.current];
        ready.last_run = self.runs;
        ready.held.run(self.device.executor(), given)?;
        Ok(Outputs { held: &*ready.held, types: &ready.outputs })
    }

    /// Traces, plans, binds and warms.
    #[track_caller]
    fn make_ready(&mut self, batch: usize) -> Result<Ready> {
        let types: Option<Vec<TensorType>> = self.inputs.iter().map(|&ty| with_batch(ty, batch)).collect();
        let types = types.filter(|_| batch > 0);
        let types = types.ok_or_else(|| invalid(format!("a batch of {batch} holds nothing, or too much")))?;
        let linearised = self.linearise(&types)?;
        let key = WorkKey {
            graph: linearised.graph,
            task: Task::Evaluate,
            precision: self.precision,
            deterministic: self.device.deterministic(),
        };
        let (whole, decisions) = self.device.executor().rewrite(&key)?;
        let positions: Vec<Option<u32>> = (0..types.len())
            .map(|input| {
                let is_it =
                    |(_, data): &(TensorType, Data)| matches!(data, Data::Input(index) if *index == input);
                linearised.data.iter().position(is_it).map(|position| position as u32)
            })
            .collect();
        let Split { preparation, preparation_data, rest, given, origins } = split(&whole, &positions)?;
        let outputs: Vec<TensorType> = rest.roots.iter().map(|&root| rest.ty(root)).collect();
        let data_of = |index: &u32| linearised.data[*index as usize].clone();
        let work = self.work(
            preparation,
            preparation_data.iter().map(data_of).collect(),
            linearised.states.clone(),
            linearised.scalars,
        );
        let preparation = self.prepare(work)?;
        let inputs = types.iter().enumerate().map(|(index, &ty)| (ty, Data::Input(index)));
        let rest_data = inputs.chain(given.iter().map(|given| match given {
            Given::Prepared(root) => {
                let (ty, buffer) = &preparation.values[*root];
                (*ty, Data::Device { buffer: Arc::clone(buffer), resident: true })
            }
            Given::Resident(index) => data_of(index),
        }));
        // The rest reads no states: they name the layers.
        let work = self.work(rest, rest_data.collect(), linearised.states, Vec::new());
        let mut held = self.device.executor().hold(work, &origins)?;
        held.run(self.device.executor(), &[])?;
        Ok(Ready { batch, outputs, decisions, held, preparation, last_run: self.runs })
    }

    /// The network's trace for inputs of these types.
    #[track_caller]
    fn linearise(&self, types: &[TensorType]) -> Result<Linearised> {
        let input = |(index, &ty)| Tensor::data(&self.device, ty, Data::Input(index));
        let inputs: Vec<Tensor> = types.iter().enumerate().map(input).collect();
        let outputs = (self.trace)(&inputs)?;
        if outputs.is_empty() {
            return Err(invalid("the network yields nothing"));
        }
        if outputs.iter().any(|output| output.device() != &self.device) {
            return Err(Error::DeviceMismatch { operation: "session" });
        }
        let linearised = linearise(outputs.iter(), Mode::Evaluate, false)?;
        let graph = &linearised.graph;
        let drops = graph.nodes.iter().any(|node| matches!(node.op, Op::Dropout(_)));
        if drops || !graph.updates.is_empty() {
            let what = if drops { "drops out" } else { "moves running statistics" };
            return Err(invalid(format!(
                "the network {what}, as in training: call eval() of its parameters"
            )));
        }
        Ok(linearised)
    }

    fn work(
        &self,
        graph: Graph,
        data: Vec<(TensorType, Data)>,
        states: Vec<State>,
        scalars: Vec<f32>,
    ) -> Work {
        let key = WorkKey {
            graph,
            task: Task::Expanded,
            precision: self.precision,
            deterministic: self.device.deterministic(),
        };
        Work { key, data, states, scalars, seed: self.device.seed(), step: 0 }
    }

    /// The preparation that this work is; one for all batch sizes if it is the same for them.
    fn prepare(&mut self, work: Work) -> Result<Arc<Preparation>> {
        if let Some(known) = self.preparations.iter().find(|known| same(&known.work, &work)) {
            return Ok(Arc::clone(known));
        }
        let mut preparation = Preparation { work, values: Vec::new() };
        let executor = self.device.executor();
        let values = preparation.compute(&self.device)?;
        let graph = &preparation.work.key.graph;
        let types = graph.roots.iter().map(|&root| graph.ty(root));
        // Copies: a number may be on its way to the host, and what is bound must keep its place.
        let own = |(ty, value): (TensorType, &Buffer)| {
            let small = ty.shape.elements() == 1;
            Ok((ty, if small { executor.duplicate(value, ty)? } else { Arc::clone(value) }))
        };
        preparation.values = types.zip(&values).map(own).collect::<Result<_>>()?;
        let preparation = Arc::new(preparation);
        self.preparations.push(Arc::clone(&preparation));
        Ok(preparation)
    }
}

impl Preparation {
    fn compute(&self, device: &Device) -> Result<Vec<Buffer>> {
        match self.work.key.graph.roots[..] {
            [] => Ok(Vec::new()),
            _ => device.executor().run(&self.work),
        }
    }
}

/// Whether two pieces of work compute the same from the same.
fn same(a: &Work, b: &Work) -> bool {
    let same_data = |(a, b): (&(TensorType, Data), &(TensorType, Data))| match (&a.1, &b.1) {
        (Data::Host(x), Data::Host(y)) => a.0 == b.0 && x == y,
        (Data::Device { buffer: x, .. }, Data::Device { buffer: y, .. }) => a.0 == b.0 && Arc::ptr_eq(x, y),
        _ => false,
    };
    let bits = |scalars: &[f32]| scalars.iter().map(|scalar| scalar.to_bits()).collect::<Vec<_>>();
    a.key == b.key
        && a.states.iter().map(State::id).eq(b.states.iter().map(State::id))
        && bits(&a.scalars) == bits(&b.scalars)
        && a.data.len() == b.data.len()
        && a.data.iter().zip(&b.data).all(same_data)
}

#[track_caller]
fn invalid(what: impl Into<String>) -> Error {
    Error::InvalidArgument { operation: "session", what: what.into(), origin: Origin::caller() }
}

/// One output is a list of one.
impl From<Tensor> for Vec<Tensor> {
    fn from(tensor: Tensor) -> Vec<Tensor> {
        vec![tensor]
    }
}
