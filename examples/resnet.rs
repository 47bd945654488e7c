//! Trains and evaluates a residual network on folders of images, one for each class, or on synthetic images.
//!
//! ```text
//! cargo run --release --example resnet -- --synthetic                    how fast ResNet-50 trains here
//! cargo run --release --example resnet -- cifar10 --recipe cifar         ResNet-18 on 32 x 32 pixels, 30 epochs
//! cargo run --release --example resnet -- imagenet --model resnet101     224 x 224 pixels, 90 epochs
//! ```
//!
//! `cifar10` and `imagenet` are directories with `train/<class>/<name>.jpg` and `test/<class>/..` or `val/<class>/..`;
//! `datasets.md` says where such sets come from. A recipe sets what is not asked for otherwise.
//!
//! `--save` keeps the weights in a file that PyTorch reads too, and with which, after the recipe `imagenet`, the example
//! `classify` says what is on pictures; `--weights` starts from such a file.

mod common;
#[path = "common/precision.rs"]
mod precision;

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};
use ocelli::data::augment::{Augmentation, Geometry, Output};
use ocelli::data::images::ImageFolder;
use ocelli::data::loader::{LastBatch, Loader, LoaderConfig, OnDamaged};
use ocelli::data::sampler::Sampler;
use ocelli::data::with_causes;
use ocelli::format::safetensors;
use ocelli::models::{NAMES, ResNet, ResNetConfig, Stem};
use ocelli::plan::PlanOptions;
use ocelli::prelude::*;
use ocelli::{MixSampler, cuda};

use common::{print_json, print_profile, progress_bar};
use precision::PrecisionOption;

#[derive(Parser)]
#[command(about = "Trains and evaluates a residual network on folders of images")]
struct Options {
    /// A directory with `train` and `test` or `val`, in each a folder of images for every class
    #[arg(required_unless_present = "synthetic")]
    directory: Option<PathBuf>,
    /// Train on noise that lies on the GPU: how fast the network itself is
    #[arg(long, conflicts_with = "directory")]
    synthetic: bool,
    /// Settings that are known to work
    #[arg(long, value_enum, default_value_t = Recipe::Imagenet)]
    recipe: Recipe,
    /// The network
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(NAMES))]
    model: Option<String>,
    /// What comes before the first block
    #[arg(long, value_enum)]
    stem: Option<StemOption>,
    /// Rows and columns of the images that the network sees
    #[arg(long)]
    size: Option<usize>,
    /// The element type of convolutions and matrix products
    #[arg(long, value_enum, default_value_t = PrecisionOption::F16)]
    precision: PrecisionOption,
    /// Images of a batch
    #[arg(long)]
    batch: Option<usize>,
    /// Batches whose gradients are added up for one step
    #[arg(long, default_value_t = 1)]
    accumulate: usize,
    /// Times to go through the training images
    #[arg(long)]
    epochs: Option<usize>,
    /// Steps of an epoch of synthetic images (100)
    #[arg(long)]
    steps: Option<usize>,
    /// What changes the weights
    #[arg(long, value_enum)]
    optimizer: Option<OptimizerOption>,
    /// The highest learning rate: it rises over the first epochs and falls along half a cosine wave. The recipe's own is
    /// meant for 256 images a step and grows with their number
    #[arg(long)]
    lr: Option<f32>,
    /// Epochs over which the learning rate rises
    #[arg(long)]
    warm_up: Option<f32>,
    /// The weight of the parameters' own size in the gradient
    #[arg(long)]
    weight_decay: Option<f32>,
    /// Leave weight decay off biases and the scales and shifts of normalisation
    #[arg(long)]
    no_decay_of_norms: bool,
    /// Start each block as the identity
    #[arg(long)]
    zero_init_residual: bool,
    /// Start from the weights in this safetensors file, with PyTorch's names
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Write the weights to this safetensors file in the end; their average where there is one
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// The share of the target that is spread over all classes
    #[arg(long)]
    label_smoothing: Option<f32>,
    /// Mix pairs of images, by shares from Beta(ALPHA, ALPHA); with --cutmix too, in every other step
    #[arg(long, value_name = "ALPHA")]
    mixup: Option<f64>,
    /// Put a part of one image into another, of a size by Beta(ALPHA, ALPHA)
    #[arg(long, value_name = "ALPHA")]
    cutmix: Option<f64>,
    /// Blacken a square of this many rows and columns in each image; 0 for none (recipe cifar)
    #[arg(long)]
    cutout: Option<usize>,
    /// Evaluate an exponential moving average of the weights, of which this share stays at each step; 0 for none
    #[arg(long, value_name = "DECAY")]
    ema: Option<f32>,
    /// Seeds the initial values, the order of the images and their augmentation
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Let the backward pass make cheap activations again instead of keeping them: a little slower, in less memory
    #[arg(long)]
    save_memory: bool,
    /// Give the same bits in every run
    #[arg(long)]
    deterministic: bool,
    /// Threads that read images; 0 for as many as the machine runs at once
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=1024))]
    workers: u32,
    /// Decode each image once and keep it in the GPU's memory, as far as there is room; the recipe cifar does so always
    #[arg(long)]
    in_memory: bool,
    /// Go on without images that cannot be decoded: in training others take their places
    #[arg(long)]
    skip_damaged: bool,
    /// Which GPU, counted from 0
    #[arg(long, default_value_t = 0)]
    device: usize,
    /// Write loss and accuracy of each epoch to this file, as comma-separated values
    #[arg(long, value_name = "FILE")]
    curve: Option<PathBuf>,
    /// Print the launches of a step and the memory they use
    #[arg(long)]
    profile: bool,
    /// Print what each launch of a step costs, and what the planner chose and why
    #[arg(long)]
    explain: bool,
    /// End with one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Recipe {
    /// ResNet-50 on 224 x 224 pixels: batch 256, 90 epochs, SGD (Goyal et al., 2017)
    Imagenet,
    /// ResNet-18 on 32 x 32 pixels: batch 512, 30 epochs, SGD with Nesterov's momentum, cutout, averaged weights
    Cifar,
}

#[derive(Clone, Copy, ValueEnum)]
enum StemOption {
    /// A convolution of 7 x 7 with stride 2 and a pool: images of some hundred pixels
    Imagenet,
    /// A convolution of 3 x 3: images of 32 x 32 pixels
    Cifar,
}

#[derive(Clone, Copy, ValueEnum)]
enum OptimizerOption {
    /// Stochastic gradient descent with momentum 0.9
    Sgd,
    /// Adam with weight decay apart (Loshchilov and Hutter, 2019)
    Adamw,
}

/// What the recipe and the options make together.
struct Settings {
    model: String,
    stem: Stem,
    size: usize,
    batch: usize,
    accumulate: usize,
    epochs: usize,
    optimizer: OptimizerOption,
    lr: f32,
    nesterov: bool,
    warm_up: f32,
    weight_decay: f32,
    label_smoothing: f32,
    ema: f32,
    in_memory: bool,
    train: Augmentation,
    test: Augmentation,
    /// Of red, green and blue in the training images, from 0 to 1.
    mean: [f32; 3],
    deviation: [f32; 3],
}

impl Settings {
    fn new(options: &Options) -> Settings {
        let recipe = match options.recipe {
            Recipe::Imagenet => Settings {
                model: "resnet50".into(),
                stem: Stem::ImageNet,
                size: 224,
                batch: 256,
                accumulate: 1,
                epochs: 90,
                optimizer: OptimizerOption::Sgd,
                lr: 0.1,
                nesterov: false,
                warm_up: 5.0,
                weight_decay: 1e-4,
                label_smoothing: 0.1,
                ema: 0.0,
                in_memory: false,
                train: Augmentation::imagenet_training(224),
                test: Augmentation::imagenet_evaluation(224),
                mean: [0.485, 0.456, 0.406],
                deviation: [0.229, 0.224, 0.225],
            },
            Recipe::Cifar => Settings {
                model: "resnet18".into(),
                stem: Stem::Cifar,
                size: 32,
                batch: 512,
                accumulate: 1,
                epochs: 30,
                optimizer: OptimizerOption::Sgd,
                lr: 0.2,
                nesterov: true,
                warm_up: 5.0,
                weight_decay: 5e-4,
                label_smoothing: 0.1,
                ema: 0.998,
                in_memory: true,
                train: Augmentation::cifar_training(32),
                test: Augmentation::cifar_evaluation(32),
                mean: [0.4914, 0.4822, 0.4465],
                deviation: [0.2470, 0.2435, 0.2616],
            },
        };
        let size = options.size.unwrap_or(recipe.size);
        let side = size as u32;
        let (train, test) = match options.recipe {
            Recipe::Imagenet => {
                (Augmentation::imagenet_training(side), Augmentation::imagenet_evaluation(side))
            }
            Recipe::Cifar => {
                let (height, width, padding) = (side, side, side / 8);
                let cutout = options.cutout.map_or(side / 4, |cutout| cutout as u32);
                let geometry = Geometry::PaddedCrop { height, width, padding, cutout };
                let train = Augmentation { geometry, ..Augmentation::cifar_training(side) };
                (train, Augmentation::cifar_evaluation(side))
            }
        };
        let optimizer = options.optimizer.unwrap_or(recipe.optimizer);
        let (lr, weight_decay) = match optimizer {
            OptimizerOption::Sgd => (recipe.lr, recipe.weight_decay),
            OptimizerOption::Adamw => (1e-3, 0.05),
        };
        let batch = options.batch.unwrap_or(recipe.batch);
        Settings {
            model: options.model.clone().unwrap_or(recipe.model),
            stem: options.stem.map_or(recipe.stem, |stem| match stem {
                StemOption::Imagenet => Stem::ImageNet,
                StemOption::Cifar => Stem::Cifar,
            }),
            size,
            batch,
            accumulate: options.accumulate,
            epochs: options.epochs.unwrap_or(recipe.epochs),
            optimizer,
            lr: options.lr.unwrap_or(lr * (batch * options.accumulate) as f32 / 256.0),
            warm_up: options.warm_up.unwrap_or(recipe.warm_up),
            weight_decay: options.weight_decay.unwrap_or(weight_decay),
            label_smoothing: options.label_smoothing.unwrap_or(recipe.label_smoothing),
            ema: options.ema.unwrap_or(recipe.ema),
            in_memory: options.in_memory || recipe.in_memory,
            train,
            test,
            ..recipe
        }
    }
}

/// Images to train or to evaluate on.
enum Split {
    Folder {
        loader: Loader,
        /// The damaged images that have been told.
        told: RefCell<BTreeSet<PathBuf>>,
    },
    /// One batch, again and again.
    Synthetic { images: Tensor, labels: Tensor, batches: usize },
}

/// Normalised images `[n, h, w, 4]`, whose last channel holds zeros, their labels `i32[n]`, and how many of them count. The
/// fourth channel is the padding that the network wants: it costs nothing where pixels are written, and a pass of its own
/// later.
struct Labelled {
    images: Tensor,
    labels: Tensor,
    count: usize,
}

impl Split {
    fn synthetic(device: &Device, settings: &Settings, classes: usize, batches: usize) -> Result<Split> {
        let (batch, size) = (settings.batch, settings.size);
        // Any numbers do, as long as they are not all alike.
        let number = |i: usize| match i % 4 {
            3 => 0.0,
            _ => ((i as u32).wrapping_mul(2_654_435_761) >> 24) as f32 / 64.0 - 2.0,
        };
        let pixels: Vec<f32> = (0..batch * size * size * 4).map(number).collect();
        let labels: Vec<i32> = (0..batch).map(|i| (i * 37 % classes) as i32).collect();
        let images = Tensor::from_slice(device, &pixels, &[batch, size, size, 4])?;
        Ok(Split::Synthetic {
            images: images.cast(device.precision().compute_type())?.to_device()?,
            labels: Tensor::from_slice(device, &labels, &[batch])?.to_device()?,
            batches,
        })
    }

    fn batches(&self) -> usize {
        match self {
            Split::Folder { loader, .. } => loader.batches(),
            Split::Synthetic { batches, .. } => *batches,
        }
    }

    /// The batches of an epoch. Threads begin to make them at once.
    fn epoch(&self, device: &Device, epoch: usize) -> Result<Box<dyn Iterator<Item = Result<Labelled>>>> {
        Ok(match self {
            Split::Folder { loader, .. } => {
                let device = device.clone();
                Box::new(loader.epoch(epoch as u64)?.map(move |batch| {
                    let batch = batch?;
                    Ok(Labelled {
                        images: batch.image_tensor(&device)?,
                        labels: batch.label_tensor(&device)?,
                        count: batch.count(),
                    })
                }))
            }
            Split::Synthetic { images, labels, batches } => {
                let (images, labels) = (images.clone(), labels.clone());
                let count = labels.dims()[0];
                let batch = move |_| Ok(Labelled { images: images.clone(), labels: labels.clone(), count });
                Box::new((0..*batches).map(batch))
            }
        })
    }

    /// Tells of images that could not be decoded, each once.
    fn tell_damaged(&self) {
        let Split::Folder { loader, told } = self else { return };
        for (path, error) in loader.damaged() {
            if told.borrow_mut().insert(path) {
                eprintln!("damaged: {error}");
            }
        }
    }
}

/// The network and its parameters.
struct Net {
    resnet: ResNet,
    params: Params,
}

impl Net {
    fn new(device: &Device, settings: &Settings, options: &Options, classes: usize) -> Result<Net> {
        let params = Params::new(device, Seed(options.seed));
        let config =
            ResNetConfig { classes, stem: settings.stem, zero_init_residual: options.zero_init_residual };
        let resnet = ResNet::by_name(&settings.model, &params, config)?;
        if let Some(path) = &options.weights {
            safetensors::load(path, &params)?;
        }
        Ok(Net { resnet, params })
    }
}

/// Trains a network.
struct Trainer {
    net: Net,
    optimizer: Box<dyn Optimizer>,
    schedule: Schedule,
    cross_entropy: CrossEntropyConfig,
    accumulate: usize,
    mixup: Option<f64>,
    cutmix: Option<f64>,
    mix: MixSampler,
    /// Batches so far.
    batches: usize,
}

impl Trainer {
    fn new(net: Net, settings: &Settings, options: &Options, steps_per_epoch: usize) -> Trainer {
        let steps = steps_per_epoch * settings.epochs;
        let rise = ((settings.warm_up * steps_per_epoch as f32) as usize).min(steps / 2);
        let schedule = Schedule::Cosine { lr: settings.lr, end: 0.0, steps: steps - rise };
        let mut optimizer: Box<dyn Optimizer> = match settings.optimizer {
            OptimizerOption::Sgd => {
                let (lr, weight_decay, nesterov) = (settings.lr, settings.weight_decay, settings.nesterov);
                Box::new(Sgd::new(&net.params, SgdConfig { lr, momentum: 0.9, weight_decay, nesterov }))
            }
            OptimizerOption::Adamw => {
                let (lr, weight_decay) = (settings.lr, settings.weight_decay);
                Box::new(AdamW::new(&net.params, AdamWConfig { lr, weight_decay, ..Default::default() }))
            }
        };
        let average =
            (settings.ema > 0.0).then(|| AverageConfig { decay: settings.ema, ..Default::default() });
        optimizer.training_mut().set_average(average);
        optimizer.training_mut().set_decay_of_vectors(!options.no_decay_of_norms);
        Trainer {
            net,
            optimizer,
            schedule: schedule.with_warmup(rise),
            cross_entropy: CrossEntropyConfig {
                label_smoothing: settings.label_smoothing,
                ..Default::default()
            },
            accumulate: settings.accumulate,
            mixup: options.mixup,
            cutmix: options.cutmix,
            mix: MixSampler::new(options.seed),
            batches: 0,
        }
    }

    /// Trains on a batch. Yields its part of the step's loss and, where it ends a step, how many of its images are
    /// recognised; nothing has been waited for.
    fn train(&mut self, batch: &Labelled) -> ocelli::Result<(Tensor, Option<Tensor>)> {
        let (logits, loss) = self.forward(batch)?;
        let loss = if self.accumulate == 1 { loss } else { loss.mul_scalar(1.0 / self.accumulate as f32)? };
        self.optimizer.set_lr(self.schedule.at(self.batches / self.accumulate));
        self.batches += 1;
        if !self.batches.is_multiple_of(self.accumulate) {
            self.optimizer.accumulate(&loss)?;
            return Ok((loss, None));
        }
        let right = logits.in_top_k(&batch.labels, 1)?.sum()?;
        self.optimizer.minimize_with(&loss, &[&right])?;
        Ok((loss, Some(right)))
    }

    fn forward(&self, batch: &Labelled) -> ocelli::Result<(Tensor, Tensor)> {
        let (net, step) = (&self.net, self.batches as u64);
        let images = batch.images.clone();
        let config = self.cross_entropy;
        let alternate = self.mixup.is_some() && self.cutmix.is_some() && step % 2 == 1;
        let mixup = self.mixup.filter(|_| !alternate);
        if mixup.is_none() && self.cutmix.is_none() {
            let logits = net.resnet.forward(&images)?;
            let loss = logits.cross_entropy(&batch.labels, config)?;
            return Ok((logits, loss));
        }
        let partners = self.mix.permutation(step, images.dims()[0]);
        let partners = Tensor::from_slice(images.device(), &partners, &[partners.len()])?;
        let (mixed, lambda) = match (mixup, self.cutmix) {
            (Some(alpha), _) => {
                let lambda = self.mix.lambda(step, alpha);
                (images.mixup(&partners, lambda)?, lambda)
            }
            (None, alpha) => {
                let (height, width) = (images.dims()[1], images.dims()[2]);
                let area = self.mix.area(step, alpha.unwrap_or(1.0), height, width);
                (images.cutmix(&partners, area)?, area.share_outside(height, width))
            }
        };
        let logits = net.resnet.forward(&mixed)?;
        let loss = logits.cross_entropy_mixed(&batch.labels, &partners, lambda, config)?;
        Ok((logits, loss))
    }

    /// Evaluates the network, or the average of its weights where there is one.
    fn evaluate(&mut self, device: &Device, test: &Split) -> Result<Score> {
        self.optimizer.swap_average()?;
        self.net.params.eval();
        let mut numbers = Vec::new();
        let mut count = 0;
        for batch in test.epoch(device, 0)? {
            let batch = batch?;
            if batch.count == 0 {
                continue;
            }
            // Without a history, which would keep every batch until the end.
            let logits = self.net.resnet.forward(&batch.images)?.detach()?;
            let loss = logits.cross_entropy(&batch.labels, Default::default())?;
            let top = |k| logits.in_top_k(&batch.labels, k)?.sum();
            let found = [loss, top(1)?, top(5)?];
            evaluate(&found.each_ref())?;
            numbers.push((found, batch.count));
            count += batch.count;
        }
        let mut score = Score::default();
        for ([loss, top1, top5], images) in numbers {
            score.loss += f64::from(loss.value()?) * images as f64 / count as f64;
            score.top1 += f64::from(top1.value()?) / count as f64;
            score.top5 += f64::from(top5.value()?) / count as f64;
        }
        self.net.params.train();
        self.optimizer.swap_average()?;
        Ok(score)
    }

    /// Writes the weights that [`Trainer::evaluate`] evaluates.
    fn save(&mut self, path: &Path) -> Result<()> {
        self.optimizer.swap_average()?;
        safetensors::save(path, &self.net.params)?;
        self.optimizer.swap_average()?;
        Ok(())
    }
}

/// What an evaluation finds: the mean loss, and the shares of images whose class is the likeliest, or among five.
#[derive(Clone, Copy, Default)]
struct Score {
    loss: f64,
    top1: f64,
    top5: f64,
}

/// Sums the losses and right answers of an epoch, a few batches behind the GPU so that nobody waits.
#[derive(Default)]
struct Sums {
    pending: VecDeque<(Tensor, Option<Tensor>, usize)>,
    loss: f64,
    losses: usize,
    right: f64,
    /// Images that could be recognised.
    images: usize,
}

impl Sums {
    /// Batches that the GPU may be ahead.
    const BEHIND: usize = 8;

    fn add(&mut self, loss: Tensor, right: Option<Tensor>, images: usize) -> Result<()> {
        self.pending.push_back((loss, right, images));
        if self.pending.len() > Sums::BEHIND { self.take() } else { Ok(()) }
    }

    fn take(&mut self) -> Result<()> {
        let Some((loss, right, images)) = self.pending.pop_front() else { return Ok(()) };
        self.loss += f64::from(loss.value()?);
        self.losses += 1;
        if let Some(right) = right {
            self.right += f64::from(right.value()?);
            self.images += images;
        }
        Ok(())
    }

    /// The mean of the losses, and the share of right answers.
    fn means(&mut self) -> Result<(f64, f64)> {
        while !self.pending.is_empty() {
            self.take()?;
        }
        Ok((self.loss / self.losses.max(1) as f64, self.right / self.images.max(1) as f64))
    }
}

fn main() -> ExitCode {
    match run(Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", with_causes(&*error));
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> Result<()> {
    let started = Instant::now();
    let settings = Settings::new(&options);
    if [settings.batch, settings.accumulate, settings.epochs, settings.size].contains(&0) {
        bail!("--batch, --accumulate, --epochs and --size must be at least 1");
    }
    if options.cutout.is_some() && matches!(options.recipe, Recipe::Imagenet) {
        bail!("--cutout belongs to the recipe cifar: add --recipe cifar, or leave it out");
    }
    if options.steps.is_some() && !options.synthetic {
        bail!("--steps is for synthetic images, a directory's epoch ends with its images: leave it out");
    }
    if [options.mixup, options.cutmix].into_iter().flatten().any(|alpha| alpha <= 0.0 || alpha.is_nan()) {
        bail!("--mixup and --cutmix take numbers larger than 0");
    }
    // Rather now than after days of training.
    if let Some(parent) = options.save.as_deref().and_then(Path::parent)
        && !parent.as_os_str().is_empty()
        && !parent.is_dir()
    {
        bail!("--save: there is no directory {}", parent.display());
    }
    let missing = cuda::stack::missing();
    if let Some(library) = missing.first() {
        bail!("{library} not found: `ocelli doctor` says where it was looked for and how to install it");
    }
    let plan = PlanOptions { save_memory: options.save_memory, ..PlanOptions::default() };
    let device = Device::with_plan_options(options.device, plan)?;
    device.set_precision(options.precision.into());
    device.set_deterministic(options.deterministic);
    device.manual_seed(options.seed);
    let (train, test, classes) = open(&device, &options, &settings)?;
    let net = Net::new(&device, &settings, &options, classes)?;
    println!("{}: {} parameters, {classes} classes", settings.model, net.params.count());

    let batches = train.batches() / settings.accumulate * settings.accumulate;
    if batches == 0 {
        bail!("the {} batches of an epoch do not make one step of {}", train.batches(), settings.accumulate);
    }
    let mut trainer = Trainer::new(net, &settings, &options, batches / settings.accumulate);
    let mut curve = options.curve.as_deref().map(Curve::create).transpose()?;
    let mut first_batch = None;
    let mut speeds = Vec::new();
    let mut score = Score::default();
    let mut ahead = train.epoch(&device, 0)?;
    for epoch in 0..settings.epochs {
        let bar = progress_bar(batches, epoch, settings.epochs);
        let (begin, mut sums, mut images) = (Instant::now(), Sums::default(), 0);
        for (step, batch) in ahead.take(batches).enumerate() {
            let batch = batch?;
            images += batch.count;
            // The mean over no image is no number.
            if batch.count == 0 {
                continue;
            }
            let (loss, right) = trainer.train(&batch)?;
            if first_batch.is_none() {
                loss.value()?;
                first_batch = Some(started.elapsed().as_secs_f64());
            }
            if step % 50 == 49 || step + 1 == batches {
                bar.set_position(step as u64 + 1);
                let speed = images as f64 / begin.elapsed().as_secs_f64();
                let loss = trainer.optimizer.check(&loss)? * settings.accumulate as f32;
                bar.set_message(format!("loss {loss:.4}, {speed:.0} images/s"));
                bar.suspend(|| train.tell_damaged());
            }
            sums.add(loss, right, batch.count)?;
        }
        device.synchronize()?;
        let seconds = begin.elapsed().as_secs_f64();
        speeds.push(images as f64 / seconds);
        bar.finish();
        // The next epoch's first batches are made while this one is evaluated.
        let last = epoch + 1 == settings.epochs;
        ahead = if last { Box::new(std::iter::empty()) } else { train.epoch(&device, epoch + 1)? };
        let (loss, accuracy) = sums.means()?;
        let loss = loss * settings.accumulate as f64;
        score = trainer.evaluate(&device, &test)?;
        train.tell_damaged();
        test.tell_damaged();
        println!(
            "epoch {}: {seconds:.2} s, {:.0} images/s, loss {loss:.4}, accuracy {:.2} %; test: loss {:.4}, top-1 {:.2} %, \
             top-5 {:.2} %",
            epoch + 1,
            speeds[epoch],
            100.0 * accuracy,
            score.loss,
            100.0 * score.top1,
            100.0 * score.top5
        );
        if let Some(curve) = &mut curve {
            curve.add(epoch + 1, [loss, accuracy, score.loss, score.top1, score.top5, seconds])?;
        }
    }
    if let Some(path) = &options.save {
        trainer.save(path)?;
        println!("the weights are in {}", path.display());
    }
    let skipped = trainer.optimizer.skipped_steps()?;
    if skipped > 0 {
        println!("{skipped} steps were skipped because gradients overflowed");
    }
    if options.profile {
        print_profile(&device)?;
    }
    if options.explain
        && let Some(explanation) = device.gpu().context("the device is no GPU")?.explain()?
    {
        println!("\n{explanation}");
    }
    if options.json {
        let results = serde_json::json!({
            "model": settings.model,
            "top1": score.top1,
            "top5": score.top5,
            "images_per_second": speeds,
            "seconds_to_first_batch": first_batch.unwrap_or_default(),
        });
        print_json(&device, results)?;
    }
    Ok(())
}

/// Training and test images, and how many classes they have.
fn open(device: &Device, options: &Options, settings: &Settings) -> Result<(Split, Split, usize)> {
    let Some(directory) = &options.directory else {
        let classes = if settings.stem == Stem::Cifar { 10 } else { 1000 };
        let train =
            Split::synthetic(device, settings, classes, options.steps.unwrap_or(100) * settings.accumulate)?;
        return Ok((train, Split::synthetic(device, settings, classes, 1)?, classes));
    };
    let held_out = ["test", "val"].map(|name| directory.join(name)).into_iter().find(|path| path.is_dir());
    let held_out = held_out.with_context(|| format!("there is no test or val in {}", directory.display()))?;
    let (train, classes) = folder(device, &directory.join("train"), true, options, settings)?;
    let (test, test_classes) = folder(device, &held_out, false, options, settings)?;
    if classes != test_classes {
        bail!("the folders in {} are not those in {}/train", held_out.display(), directory.display());
    }
    Ok((train, test, classes.len()))
}

/// The images of a directory, augmented in another order each epoch or as they are, and the names of the classes.
fn folder(
    device: &Device,
    directory: &Path,
    train: bool,
    options: &Options,
    settings: &Settings,
) -> Result<(Split, Vec<String>)> {
    let folder = ImageFolder::open(directory)?;
    let classes = folder.classes().to_vec();
    let images = folder.samples().len();
    let gpu = device.gpu().context("the device is no GPU")?;
    let config = LoaderConfig {
        batch: settings.batch,
        augmentation: if train { settings.train } else { settings.test },
        output: Output {
            dtype: image_element(device.precision()),
            channels: 4,
            mean: settings.mean,
            deviation: settings.deviation,
        },
        last: if train { LastBatch::Drop } else { LastBatch::Keep },
        damaged: match options.skip_damaged {
            false => OnDamaged::Fail,
            // Black images would count in the statistics of normalisation.
            true if train => OnDamaged::Replace,
            true => OnDamaged::Skip,
        },
        seed: options.seed,
        workers: options.workers as usize,
        // Training has to fit, too.
        decoded_cache: if settings.in_memory { gpu.memory()?.free / 4 } else { 0 },
        ..LoaderConfig::default()
    };
    let sampler = if train { Sampler::shuffled(images, options.seed) } else { Sampler::sequential(images) };
    let loader = Loader::new(gpu.cuda(), Arc::new(folder), sampler, config)
        .with_context(|| format!("a loader of {} cannot be made", directory.display()))?;
    Ok((Split::Folder { loader, told: RefCell::default() }, classes))
}

/// A file with a line for each epoch.
struct Curve {
    file: File,
    path: PathBuf,
}

impl Curve {
    fn create(path: &Path) -> Result<Curve> {
        let file = File::create(path).with_context(|| format!("{} cannot be created", path.display()))?;
        let mut curve = Curve { file, path: path.into() };
        curve.write("epoch,train_loss,train_accuracy,test_loss,test_top1,test_top5,seconds")?;
        Ok(curve)
    }

    fn add(&mut self, epoch: usize, numbers: [f64; 6]) -> Result<()> {
        let numbers = numbers.map(|number| format!("{number:.5}")).join(",");
        self.write(&format!("{epoch},{numbers}"))
    }

    fn write(&mut self, line: &str) -> Result<()> {
        writeln!(self.file, "{line}").with_context(|| format!("{} cannot be written", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage};

    use super::*;

    fn options(arguments: &[&str]) -> Options {
        Options::parse_from([&["resnet", "directory"], arguments].concat())
    }

    #[test]
    fn options_take_the_place_of_a_recipes_settings() {
        let recipe = Settings::new(&options(&["--recipe", "cifar"]));
        assert_eq!((recipe.model.as_str(), recipe.batch, recipe.size, recipe.lr), ("resnet18", 512, 32, 0.4));
        let changed =
            ["--recipe", "cifar", "--batch", "128", "--accumulate", "4", "--size", "64", "--cutout", "5"];
        let changed = Settings::new(&options(&changed));
        // The recipe's rate is meant for 256 images a step.
        assert_eq!((changed.model.as_str(), changed.batch, changed.lr), ("resnet18", 128, 0.4));
        let geometry = Geometry::PaddedCrop { height: 64, width: 64, padding: 8, cutout: 5 };
        assert_eq!(changed.train.geometry, geometry);
        let other = Settings::new(&options(&["--model", "resnet34", "--lr", "0.3", "--optimizer", "adamw"]));
        assert_eq!((other.model.as_str(), other.lr, other.weight_decay), ("resnet34", 0.3, 0.05));
    }

    #[test]
    #[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
    fn damaged_images_are_replaced_in_training_left_out_in_evaluation_and_told_once() {
        let home = tempfile::tempdir().unwrap();
        for class in ["ant", "bee"] {
            std::fs::create_dir(home.path().join(class)).unwrap();
            for number in 0..4 {
                let image = RgbImage::from_pixel(40, 36, Rgb([50 * number, 100, 200]));
                image.save(home.path().join(format!("{class}/{number}.png"))).unwrap();
            }
        }
        std::fs::write(home.path().join("bee/2.png"), "no image").unwrap();
        let options = options(&["--recipe", "cifar", "--batch", "4", "--skip-damaged"]);
        let settings = Settings::new(&options);
        let device = Device::new(0).unwrap();
        for (train, expected) in [(true, 8), (false, 7)] {
            let (split, classes) = folder(&device, home.path(), train, &options, &settings).unwrap();
            assert_eq!((classes, split.batches()), (vec!["ant".to_owned(), "bee".to_owned()], 2));
            let counts = split.epoch(&device, 0).unwrap().map(|batch| batch.unwrap().count);
            assert_eq!(counts.sum::<usize>(), expected);
            split.tell_damaged();
            split.tell_damaged();
            let Split::Folder { told, .. } = split else { panic!("a directory makes a loader") };
            assert_eq!(Vec::from_iter(told.into_inner()), [home.path().join("bee/2.png")]);
        }
    }
}
