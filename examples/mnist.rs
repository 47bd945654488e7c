//! Trains the convolutional network of PyTorch's MNIST example: two convolutions, two linear layers, dropout.
//!
//! It should reach at least 99.2 % on the 10,000 test digits after five epochs, in a second or two on a large GPU.
//!
//! ```text
//! cargo run --release --example mnist                       real MNIST, downloaded when it is not there yet
//! cargo run --release --example mnist -- --setup            the same; first installs NVIDIA's libraries that are missing
//! cargo run --release --example mnist -- --data generated   digits drawn by the program itself, no network needed
//! ```

mod common;
#[path = "common/precision.rs"]
mod precision;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Parser;
use indicatif::ProgressBar;
use ocelli::cuda;
use ocelli::data::{Error as DataError, mnist};
use ocelli::prelude::*;

use common::{print_json, print_profile, progress_bar, style};
use precision::PrecisionOption;

#[derive(Parser)]
#[command(about = "Trains a convolutional network on MNIST")]
struct Options {
    /// Times to go through the 60,000 training images
    #[arg(long, default_value_t = 5)]
    epochs: usize,
    /// Images of a training step
    #[arg(long, default_value_t = 64)]
    batch: usize,
    /// The element type of convolutions and matrix products
    #[arg(long, alias = "type", value_enum, default_value_t = PrecisionOption::F16)]
    precision: PrecisionOption,
    /// Seeds the initial values, the order of the images and dropout
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The highest learning rate: it rises over the first steps and falls along half a cosine wave
    #[arg(long, default_value_t = 0.002)]
    lr: f32,
    /// A directory with MNIST's four IDX files (gzipped or not), or `generated`
    #[arg(long)]
    data: Option<String>,
    /// Which GPU, counted from 0
    #[arg(long, default_value_t = 0)]
    device: usize,
    /// Give the same bits in every run
    #[arg(long)]
    deterministic: bool,
    /// Install the libraries of NVIDIA's that are missing, into a directory of Ocelli's own, and go on
    #[arg(long)]
    setup: bool,
    /// Print the launches of a step and the memory they use
    #[arg(long)]
    profile: bool,
    /// Print where the time of a step goes: layer, pattern, engine, time, bytes, share of the floor
    #[arg(long)]
    explain: bool,
    /// End with one line of JSON
    #[arg(long)]
    json: bool,
}

/// The network of PyTorch's example.
struct Net {
    conv1: Conv2d,
    conv2: Conv2d,
    dropout1: Dropout,
    fc1: Linear,
    dropout2: Dropout,
    fc2: Linear,
}

impl Net {
    fn new(params: &Params) -> ocelli::Result<Net> {
        Ok(Net {
            conv1: Conv2d::new(params / "conv1", 1, 32, Conv2dConfig { kernel: 3, ..Default::default() })?,
            conv2: Conv2d::new(params / "conv2", 32, 64, Conv2dConfig { kernel: 3, ..Default::default() })?,
            dropout1: Dropout::new(params, 0.25),
            fc1: Linear::new(params / "fc1", 9216, 128)?,
            dropout2: Dropout::new(params, 0.5),
            fc2: Linear::new(params / "fc2", 128, 10)?,
        })
    }
}

impl Module for Net {
    fn forward(&self, x: &Tensor) -> ocelli::Result<Tensor> {
        let x = self.conv1.forward(x)?.relu()?;
        let x = self.conv2.forward(&x)?.relu()?.max_pool2d(2)?;
        let x = self.dropout1.forward(&x)?.flatten()?;
        let x = self.dropout2.forward(&self.fc1.forward(&x)?.relu()?)?;
        self.fc2.forward(&x)
    }
}

/// Images and labels on the device, from which batches are taken by index.
struct Split {
    images: Tensor,
    labels: Tensor,
    count: usize,
}

impl Split {
    fn new(device: &Device, data: &mnist::LabelledImages) -> ocelli::Result<Split> {
        let labels: Vec<i32> = data.labels.iter().map(|&label| i32::from(label)).collect();
        let shape = [data.count, data.rows, data.columns, 1];
        Ok(Split {
            images: Tensor::from_slice(device, &data.images, &shape)?.to_device()?,
            labels: Tensor::from_slice(device, &labels, &[data.count])?.to_device()?,
            count: data.count,
        })
    }

    /// The images of these indices, normalised with MNIST's mean and deviation, and their labels.
    fn batch(&self, indices: &[i32]) -> ocelli::Result<(Tensor, Tensor)> {
        let indices = Tensor::from_slice(self.images.device(), indices, &[indices.len()])?;
        let pixels = self.images.take_rows(&indices)?.cast(DType::F32)?;
        let images = pixels.mul_scalar(1.0 / 255.0 / 0.3081)?.add_scalar(-0.1307 / 0.3081)?;
        Ok((images, self.labels.take_rows(&indices)?))
    }
}

fn main() -> Result<()> {
    let started = Instant::now();
    let options = Options::parse();
    if options.batch == 0 || options.epochs == 0 {
        bail!("--batch and --epochs must be at least 1");
    }
    prepare_libraries(&options)?;
    let data = load(options.data.as_deref())?;
    if options.batch > data.train.count {
        bail!("--batch {} is more than the {} training images", options.batch, data.train.count);
    }

    let device = Device::new(options.device)?;
    device.set_precision(options.precision.into());
    device.set_deterministic(options.deterministic);
    device.manual_seed(options.seed);
    let (train, test) = (Split::new(&device, &data.train)?, Split::new(&device, &data.test)?);
    let params = Params::new(&device, Seed(options.seed));
    let net = Net::new(&params)?;
    let config = AdamWConfig { lr: options.lr, weight_decay: 0.05, ..Default::default() };
    let mut optimizer = AdamW::new(&params, config);

    let steps = train.count / options.batch;
    let (all, rise) = (steps * options.epochs, 300.min(steps * options.epochs / 10));
    let schedule = Schedule::Cosine { lr: options.lr, end: 0.0, steps: all - rise }.with_warmup(rise);
    let mut order: Vec<i32> = (0..train.count as i32).collect();
    let mut first_batch = None;
    let mut seconds = Vec::new();
    let mut accuracy = 0.0;
    for epoch in 0..options.epochs {
        params.train();
        shuffle(&mut order, options.seed, epoch as u64);
        let bar = progress_bar(steps, epoch, options.epochs);
        let begin = Instant::now();
        for (step, indices) in order.chunks_exact(options.batch).enumerate() {
            let (images, labels) = train.batch(indices)?;
            let loss = net.forward(&images)?.cross_entropy(&labels, Default::default())?;
            optimizer.set_lr(schedule.at(epoch * steps + step));
            optimizer.minimize(&loss)?;
            if first_batch.is_none() {
                loss.value()?;
                first_batch = Some(started.elapsed().as_secs_f64());
            }
            if step % 100 == 99 || step + 1 == steps {
                bar.set_position(step as u64 + 1);
                let speed = ((step + 1) * options.batch) as f64 / begin.elapsed().as_secs_f64();
                bar.set_message(format!("loss {:.4}, {speed:.0} images/s", loss.value()?));
            }
        }
        device.synchronize()?;
        seconds.push(begin.elapsed().as_secs_f64());
        bar.finish();
        accuracy = evaluate_on(&net, &params, &test)?.0;
        println!("epoch {}: {:.3} s, test accuracy {:.2} %", epoch + 1, seconds[epoch], 100.0 * accuracy);
    }
    let (_, confusion) = evaluate_on(&net, &params, &test)?;
    print_confusion(&confusion);
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
            "accuracy": accuracy,
            "seconds_per_epoch": seconds,
            "seconds_to_first_batch": first_batch.unwrap_or_default(),
        });
        print_json(&device, results)?;
    }
    Ok(())
}

/// The share of test digits that are recognised, and how often each digit is taken for each other.
fn evaluate_on(net: &Net, params: &Params, test: &Split) -> Result<(f64, [[u32; 10]; 10])> {
    params.eval();
    let mut confusion = [[0; 10]; 10];
    let indices: Vec<i32> = (0..test.count as i32).collect();
    for indices in indices.chunks(1000) {
        let (images, labels) = test.batch(indices)?;
        let found = net.forward(&images)?.argmax()?;
        evaluate(&[&found, &labels])?;
        for (found, label) in found.to_vec::<i32>()?.into_iter().zip(labels.to_vec::<i32>()?) {
            confusion[label as usize][found as usize] += 1;
        }
    }
    let right: u32 = (0..10).map(|digit| confusion[digit][digit]).sum();
    Ok((f64::from(right) / test.count as f64, confusion))
}

/// Shuffles by Fisher and Yates with a generator (SplitMix64) that seed and epoch determine.
fn shuffle(order: &mut [i32], seed: u64, epoch: u64) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ epoch;
    for i in (1..order.len()).rev() {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        order.swap(i, ((z ^ (z >> 31)) % (i as u64 + 1)) as usize);
    }
}

/// Finds out whether NVIDIA's libraries are here, and installs those that are missing if the user asked for it.
fn prepare_libraries(options: &Options) -> Result<()> {
    let missing = cuda::stack::missing();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = missing.iter().map(|library| library.to_string()).collect();
    if !options.setup {
        bail!(
            "{} not found. Run `cargo run --release --example mnist -- --setup` to install what is missing into {}, or \
             `ocelli doctor` to see where it was looked for",
            names.join(", "),
            cuda::paths::home().display()
        );
    }
    eprintln!("installing {}", names.join(", "));
    cuda::stack::install_missing(|progress| eprintln!("{progress}"))
        .context("the libraries could not be installed")?;
    Ok(())
}

/// MNIST from a directory, or from where it is kept, downloaded if need be; or generated digits.
fn load(data: Option<&str>) -> Result<mnist::Mnist> {
    match data {
        Some("generated") => Ok(mnist::generated(1, 60_000, 10_000)),
        Some(directory) => Ok(mnist::read(Path::new(directory))?),
        None => {
            let directory: PathBuf = cuda::paths::home().join("datasets/mnist");
            match download(&directory) {
                Ok(()) => Ok(mnist::read(&directory)?),
                Err(error @ DataError::NoNetwork { .. }) => {
                    eprintln!(
                        "{error}\nTraining on generated digits instead; their accuracy says nothing about MNIST."
                    );
                    Ok(mnist::generated(1, 60_000, 10_000))
                }
                Err(error) => Err(error.into()),
            }
        }
    }
}

fn download(directory: &Path) -> std::result::Result<(), DataError> {
    let bar = ProgressBar::no_length();
    bar.set_style(style("{msg:30} [{bar:30}] {bytes}/{total_bytes}"));
    let result = mnist::fetch(directory, |progress| {
        bar.set_length(progress.total.unwrap_or(progress.received));
        bar.set_position(progress.received);
        bar.set_message(progress.file.to_string());
    });
    bar.finish_and_clear();
    result
}

fn print_confusion(confusion: &[[u32; 10]; 10]) {
    println!("\nconfusion (rows: the digit, columns: what it was taken for)");
    println!("     {}", (0..10).map(|digit| format!("{digit:>5}")).collect::<String>());
    for (digit, row) in confusion.iter().enumerate() {
        println!("{digit:>5}{}", row.iter().map(|count| format!("{count:>5}")).collect::<String>());
    }
}
