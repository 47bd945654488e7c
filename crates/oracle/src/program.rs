//! Random programs: small networks that hold what breaks planners, for comparing two ways to run the same thing.
//!
//! They lean to values with several users, parameters used twice, frozen parts, running statistics that move twice in a
//! step, channel counts that are no multiple of 8, images of one pixel, batches of one image. Operations are chosen by the
//! types at hand, and put together so that numbers stay moderate, in half precision too.

use std::sync::Arc;

use ocelli_core::graph::Graph;
use ocelli_core::init::{Fan, Fans, Init};
use ocelli_core::nn::{BatchNorm2d, BatchNormConfig, GroupNorm, Module, Params, Seed};
use ocelli_core::ops::pool::Windows;
use ocelli_core::ops::{Conv2d, UpsampleMode};
use ocelli_core::optim::{AdamW, AdamWConfig, AverageConfig, Optimizer, Sgd, SgdConfig};
use ocelli_core::{
    CrossEntropyConfig, DType, Device, Error, Precision, Result, Shape, State, Tensor, TensorType, evaluate,
};

use crate::interpret::Bindings;
use crate::random::Random;
use crate::record::recording_device;

/// One step of a program: from the values so far to one more.
type Layer = Box<dyn Fn(&[Tensor]) -> Result<Tensor> + Send + Sync>;

const CLASSES: usize = 5;

/// A random network with its input and its loss. The same seed gives the same program, with the same numbers, on every
/// device.
pub struct RandomProgram {
    params: Params,
    images: Tensor,
    labels: Tensor,
    layers: Vec<Layer>,
    losses: Vec<Layer>,
}

impl RandomProgram {
    /// The program of this seed.
    ///
    /// # Errors
    /// None unless the device fails.
    pub fn new(device: &Device, seed: u64) -> Result<RandomProgram> {
        Generator::new(device, seed)?.program()
    }

    /// The parameters and the running statistics.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Traces the program anew: a scalar.
    ///
    /// # Errors
    /// None.
    pub fn loss(&self) -> Result<Tensor> {
        let values = self.values()?;
        let mut losses = self.losses.iter().map(|loss| loss(&values));
        let first = losses.next().unwrap_or_else(|| values[0].mean())?;
        losses.try_fold(first, |sum, loss| sum.add(&loss?))
    }

    /// All that the program computes on the way, the images first and the labels second.
    fn values(&self) -> Result<Vec<Tensor>> {
        let mut values = vec![self.images.clone(), self.labels.clone()];
        for layer in &self.layers {
            let value = layer(&values)?;
            values.push(value);
        }
        Ok(values)
    }
}

/// A step of training the program of this seed as the planner gets it, SGD for even seeds and AdamW for odd ones, with
/// averages, clipped gradients, earlier micro-batches and an overflow for some, and what its leaves are bound to; the loss
/// alone where every parameter is frozen.
///
/// # Errors
/// None.
pub fn training_step(seed: u64, precision: Precision) -> Result<(Graph, Bindings)> {
    let (device, recorder) = recording_device();
    device.set_precision(precision);
    let program = RandomProgram::new(&device, seed)?;
    let (weight_decay, lr) = (0.01, 0.05);
    let trained = if seed.is_multiple_of(2) {
        let config = SgdConfig { lr, momentum: 0.9, weight_decay, nesterov: seed.is_multiple_of(4) };
        minimize(Sgd::new(program.params(), config), seed, &program)
    } else {
        let config = AdamWConfig { lr, weight_decay, ..AdamWConfig::default() };
        minimize(AdamW::new(program.params(), config), seed, &program)
    };
    match trained {
        Err(Error::NothingToTrain) => evaluate(&[&program.loss()?])?,
        other => other?,
    }
    let nothing = || Error::Plan { pass: "oracle", what: "nothing was run".into() };
    recorder.take().pop().ok_or_else(nothing)
}

/// A step with one or the other of what an optimizer can do besides.
fn minimize<O: Optimizer>(mut optimizer: O, seed: u64, program: &RandomProgram) -> Result<()> {
    if seed % 5 < 2 {
        optimizer = optimizer.with_average(AverageConfig::default());
    }
    if seed % 7 < 2 {
        optimizer = optimizer.with_clipped_gradients(0.5);
    }
    if seed % 6 < 2 {
        optimizer.accumulate(&program.loss()?)?;
    }
    let mut loss = program.loss()?;
    if seed % 8 < 2 && loss.device().precision() == Precision::mixed_f16() {
        loss = loss.mul(&Tensor::scalar(loss.device(), f32::INFINITY))?;
    }
    optimizer.minimize(&loss)
}

struct Generator {
    random: Random,
    program: RandomProgram,
    /// The types of the values so far.
    values: Vec<Tensor>,
    uses: Vec<usize>,
    filters: Vec<State>,
    norms: Vec<(usize, Arc<BatchNorm2d>)>,
    names: usize,
}

impl Generator {
    fn new(device: &Device, seed: u64) -> Result<Generator> {
        let mut random = Random::new(seed);
        let batch = random.pick(&[1, 1, 2, 3]);
        let (height, width) = random.pick(&[(1, 1), (1, 5), (4, 4), (5, 7), (8, 6)]);
        let channels = random.pick(&[1, 3, 4, 5, 8, 16]);
        let images = TensorType::new(DType::F32, Shape::nhwc(batch, height, width, channels));
        let images = random.tensor(images).to_tensor(device)?;
        let labels = random.labels(Shape::vector(batch), CLASSES).to_tensor(device)?;
        let values = vec![images.clone(), labels.clone()];
        let params = Params::new(device, Seed(seed));
        let program = RandomProgram { params, images, labels, layers: Vec::new(), losses: Vec::new() };
        Ok(Generator {
            random,
            program,
            values,
            uses: vec![0, 1],
            filters: Vec::new(),
            norms: Vec::new(),
            names: 0,
        })
    }

    fn program(mut self) -> Result<RandomProgram> {
        for _ in 0..3 + self.random.below(12) {
            let layer = self.layer()?;
            self.values.push(layer(&self.values)?);
            self.uses.push(0);
            self.program.layers.push(layer);
        }
        for value in 0..self.values.len() {
            if self.uses[value] == 0 {
                let loss = self.loss(value)?;
                self.program.losses.push(loss);
            }
        }
        Ok(self.program)
    }

    /// A value to use: a recent one more often than not.
    fn value(&mut self) -> usize {
        let last = self.values.len() - 1;
        let chosen = if self.random.chance(0.6) { last } else { self.random.below(last + 1) };
        let chosen = if chosen == 1 { 0 } else { chosen };
        self.uses[chosen] += 1;
        chosen
    }

    /// Another value that a function of two variables can take with `x`, `x` itself if need be.
    fn partner(&mut self, x: usize) -> usize {
        let shape = self.values[x].shape();
        let fits = |value: &usize| *value != 1 && self.values[*value].shape().broadcasts_to(&shape);
        let fitting: Vec<usize> = (0..self.values.len()).filter(fits).collect();
        let chosen = self.random.pick(&fitting);
        self.uses[chosen] += 1;
        chosen
    }

    /// A parameter, now and then a frozen one.
    fn parameter(&mut self, shape: Shape, fan_in: usize, init: Init) -> Result<State> {
        self.names += 1;
        let fans = Fans { fan_in, fan_out: fan_in };
        let state = self.program.params.parameter(&format!("p{}", self.names), shape, fans, init)?;
        state.set_trainable(!self.random.chance(0.2));
        Ok(state)
    }

    fn layer(&mut self) -> Result<Layer> {
        let x = self.value();
        let (_, h, w, c) = self.values[x].shape().as_nhwc().unwrap_or((1, 1, 1, 1));
        match self.random.below(16) {
            0..=3 => self.convolution(x),
            4 => self.per_channel(x, c),
            5 | 6 => self.batch_norm(x, c),
            7 => {
                let groups = self.random.pick(&divisors(c));
                self.names += 1;
                let norm = GroupNorm::new(&self.program.params / &format!("gn{}", self.names), groups, c)?;
                Ok(Box::new(move |v| norm.forward(&v[x])))
            }
            8 => Ok(self.function(x)),
            9 | 10 => {
                let y = self.partner(x);
                Ok(self.function_of_two(x, y))
            }
            11 if h > 1 && w > 1 => {
                let windows = self.random.pick(&[
                    Windows::square(2),
                    Windows::square(2).stride(1),
                    Windows::square(2).stride(2).padding(1),
                    Windows::square(2).ceil_mode(),
                ]);
                let mean = self.random.chance(0.5);
                Ok(Box::new(move |v| if mean { v[x].avg_pool2d(windows) } else { v[x].max_pool2d(windows) }))
            }
            11 => {
                let mode = self
                    .random
                    .pick(&[UpsampleMode::Nearest, UpsampleMode::Bilinear { align_corners: false }]);
                Ok(Box::new(move |v| v[x].upsample([h + 1, 2 * w], mode)))
            }
            12 => Ok(self.layout(x, c)),
            13 | 14 => Ok(self.concatenation(x)),
            _ => {
                let p = self.random.pick(&[0.1, 0.5]);
                Ok(Box::new(move |v| v[x].dropout(p)))
            }
        }
    }

    fn convolution(&mut self, x: usize) -> Result<Layer> {
        let (_, h, w, c) = self.values[x].shape().as_nhwc().unwrap_or((1, 1, 1, 1));
        let groups = if self.random.chance(0.25) { self.random.pick(&divisors(c)) } else { 1 };
        let outputs =
            groups * if groups > 4 { self.random.pick(&[1, 2]) } else { self.random.pick(&[1, 3, 5, 8, 12]) };
        let window = self.random.pick(&[1, 3]);
        let mut shape = Shape::nhwc(outputs, window, window, c / groups);
        let reusable = |state: &&State| {
            state.ty().shape.channels() == c / groups && state.ty().shape.dims()[0].is_multiple_of(groups)
        };
        let known: Vec<State> = self.filters.iter().filter(reusable).cloned().collect();
        let filter = if !known.is_empty() && self.random.chance(0.4) {
            known[self.random.below(known.len())].clone()
        } else {
            let fan_in = window * window * c / groups;
            let filter = self.parameter(shape, fan_in, Init::KaimingNormal(Fan::In))?;
            self.filters.push(filter.clone());
            filter
        };
        shape = filter.ty().shape;
        let window = shape.dims()[1];
        let padding = if window > h.min(w) { window / 2 } else { self.random.pick(&[0, window / 2]) };
        let stride = self.random.pick(&[1, 1, 2]);
        let conv = Conv2d { stride: [stride; 2], padding: [padding; 2], dilation: [1; 2], groups };
        Ok(Box::new(move |v| v[x].conv2d(&filter.tensor(), conv)))
    }

    fn per_channel(&mut self, x: usize, channels: usize) -> Result<Layer> {
        let scale = self.random.chance(0.5);
        let state = self.parameter(Shape::vector(channels), channels, Init::Uniform { bound: 1.0 })?;
        Ok(Box::new(move |v| if scale { v[x].mul(&state.tensor()) } else { v[x].add(&state.tensor()) }))
    }

    fn batch_norm(&mut self, x: usize, channels: usize) -> Result<Layer> {
        let known = self.norms.iter().find(|(of, _)| *of == channels).map(|(_, norm)| Arc::clone(norm));
        let norm = match known {
            Some(norm) if self.random.chance(0.5) => norm,
            _ => {
                self.names += 1;
                let config =
                    BatchNormConfig { frozen: self.random.chance(0.2), ..BatchNormConfig::default() };
                let norm =
                    BatchNorm2d::new(&self.program.params / &format!("bn{}", self.names), channels, config)?;
                let norm = Arc::new(norm);
                self.norms.push((channels, Arc::clone(&norm)));
                norm
            }
        };
        let relu = self.random.chance(0.5);
        Ok(Box::new(move |v| {
            let y = norm.forward(&v[x])?;
            if relu { y.relu() } else { Ok(y) }
        }))
    }

    fn function(&mut self, x: usize) -> Layer {
        let functions: [fn(&Tensor) -> Result<Tensor>; 14] = [
            Tensor::relu,
            Tensor::sigmoid,
            Tensor::tanh,
            Tensor::silu,
            Tensor::gelu,
            Tensor::hardswish,
            Tensor::softplus,
            Tensor::abs,
            |x| x.leaky_relu(0.1),
            |x| x.clamp(-1.5, 1.25),
            |x| x.mul_scalar(-0.75)?.add_scalar(0.5),
            |x| x.tanh()?.exp()?.pow_scalar(2.0),
            |x| x.abs()?.add_scalar(0.25)?.sqrt()?.reciprocal(),
            |x| x.sigmoid()?.log(),
        ];
        let function = self.random.pick(&functions);
        Box::new(move |v| function(&v[x]))
    }

    fn function_of_two(&mut self, x: usize, y: usize) -> Layer {
        let functions: [fn(&Tensor, &Tensor) -> Result<Tensor>; 8] = [
            Tensor::add,
            Tensor::add,
            Tensor::sub,
            Tensor::maximum,
            Tensor::minimum,
            |x, y| x.mul(&y.tanh()?),
            |x, y| x.div(&y.abs()?.add_scalar(1.0)?),
            |x, y| x.mul(&y.sum_to(&[1, 1, 1, y.shape().channels()])?.sigmoid()?),
        ];
        let function = self.random.pick(&functions);
        Box::new(move |v| function(&v[x], &v[y]))
    }

    fn layout(&mut self, x: usize, channels: usize) -> Layer {
        let groups = self.random.pick(&divisors(channels));
        let length = 1 + self.random.below(channels);
        let start = self.random.below(channels - length + 1);
        match self.random.below(4) {
            0 => Box::new(move |v| v[x].channel_shuffle(groups)),
            1 => Box::new(move |v| v[x].channel_slice(start, length)),
            2 => Box::new(move |v| v[x].mul(&v[x].mean_images()?.sigmoid()?)),
            _ => Box::new(move |v| v[x].detach()?.tanh()?.add(&v[x])),
        }
    }

    /// With a value of the same size, of another element type in half precision perhaps, or with `x` itself.
    fn concatenation(&mut self, x: usize) -> Layer {
        let image = |tensor: &Tensor| tensor.shape().as_nhwc().map(|(n, h, w, _)| (n, h, w));
        let fits = |value: &usize| image(&self.values[*value]) == image(&self.values[x]);
        let fitting: Vec<usize> = (0..self.values.len()).filter(fits).collect();
        let y = self.random.pick(&fitting);
        self.uses[y] += 1;
        Box::new(move |v| Tensor::concat(&[&v[x], &v[y]]))
    }

    /// A scalar of a value that nothing else uses.
    fn loss(&mut self, x: usize) -> Result<Layer> {
        let (n, _, _, c) = self.values[x].shape().as_nhwc().unwrap_or((1, 1, 1, 1));
        if self.random.chance(0.4) {
            return Ok(Box::new(move |v| v[x].cast(DType::F32)?.pow_scalar(2.0)?.mean()));
        }
        let weight = self.parameter(Shape::matrix(CLASSES, c), c, Init::FanInUniform)?;
        let label_smoothing = self.random.pick(&[0.0, 0.1]);
        let config = CrossEntropyConfig { label_smoothing, ..CrossEntropyConfig::default() };
        Ok(Box::new(move |v| {
            let features = v[x].mean_images()?.reshape(&[n, c])?;
            features.linear(&weight.tensor())?.cross_entropy(&v[1], config)
        }))
    }
}

fn divisors(number: usize) -> Vec<usize> {
    (1..=number).filter(|divisor| number.is_multiple_of(*divisor)).collect()
}
