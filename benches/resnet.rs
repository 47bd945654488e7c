//! Whole training steps and inference of every ResNet, on synthetic images: images per second, latencies, peak memory,
//! launches, the share of the GPU's two ceilings, and how long the first step takes with empty and with filled caches.
//!
//! ```text
//! cargo bench --bench resnet                                 every network in fp16, ResNet-50 in every type
//! cargo bench --bench resnet -- train/resnet50/fp16          the cases whose name contains that, of all there are
//! cargo bench --bench resnet -- train/resnet50/fp16/256 --exact --explain
//! ```
//!
//! A case is a process of its own. It is run twice: with an empty cache directory, where only the first step counts, and
//! with that directory as the first run left it, where everything is measured. `--cache` names a directory to use instead;
//! where it holds something already, the first of the two runs is left out.
//!
//! Training: SGD (0.1, momentum 0.9, weight decay 5e-5), label smoothing 0.1, 1,000 classes, in fp16 a dynamic loss scale;
//! images and labels lie on the GPU. Inference: a session; its time is the GPU's for the network alone, its latencies are
//! from the image in the host's memory to the answer there. Images are given as a loader will give them, in the type that
//! convolutions take and with a fourth channel of zeros; `--images f32` gives three channels of f32, as `benches/peers`
//! gives PyTorch. The times of the first steps count from the start of the process.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;
use std::{env, fmt, fs};

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};
use half::{bf16, f16};
use ocelli::models::{NAMES, ResNet, ResNetConfig};
use ocelli::plan::PlanOptions;
use ocelli::prelude::*;
use ocelli::{Ceilings, Explanation, Gpu, PlanReport, Session, Shape, TensorType};
use serde_json::{Map, Value, json};

use common::median;
use common::program::random;
use common::results::{keep, versions};

/// Rows and columns of an image.
const SIZE: usize = 224;
const CLASSES: usize = 1000;
/// Samples of many steps, of which the median counts.
const SAMPLES: usize = 10;
/// About so many milliseconds a sample.
const SAMPLE_MS: f64 = 250.0;
/// Steps before anything is timed: the first binds, the second captures.
const WARM_UP: usize = 5;

#[derive(Parser)]
#[command(about = "Times whole training steps and inference of residual networks")]
struct Options {
    /// Only cases whose name contains one of these, such as `train/resnet50/fp16/256`
    filters: Vec<String>,
    /// Only cases of exactly these names
    #[arg(long)]
    exact: bool,
    /// The directory for caches, in the place of a fresh one for each case
    #[arg(long)]
    cache: Option<PathBuf>,
    /// How images are given
    #[arg(long, value_enum, default_value_t = Images::Loader)]
    images: Images,
    /// Let the backward pass make cheap activations again instead of keeping them
    #[arg(long)]
    save_memory: bool,
    /// Print where the time of each case goes, launch by launch
    #[arg(long)]
    explain: bool,
    /// Run one case in this process; what the program starts itself with
    #[arg(long, value_enum, hide = true)]
    run: Option<Run>,
    /// What `cargo bench` adds
    #[arg(long, hide = true)]
    bench: bool,
}

/// How images are given.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Images {
    /// Four channels, in the type that convolutions take.
    Loader,
    /// Three channels of f32.
    F32,
}

/// What a process does with its case.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Run {
    /// The first step, and no more.
    First,
    /// The first step and everything else.
    Timed,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Train,
    Infer,
}

/// What is measured.
#[derive(Clone, Copy)]
struct Case {
    kind: Kind,
    model: &'static str,
    precision: Precision,
    batch: usize,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{}", self.kind.name(), self.model, type_name(self.precision), self.batch)
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Train => "train",
            Kind::Infer => "infer",
        }
    }
}

const TYPES: [Precision; 4] =
    [Precision::mixed_f16(), Precision::mixed_bf16(), Precision::Tf32, Precision::F32];

fn type_name(precision: Precision) -> &'static str {
    match (precision, precision.compute_type()) {
        (Precision::F32, _) => "f32",
        (Precision::Tf32, _) => "tf32",
        (_, DType::BF16) => "bf16",
        _ => "fp16",
    }
}

/// All cases, and whether each is run when none is named.
fn cases() -> Vec<(Case, bool)> {
    let mut cases = Vec::new();
    for model in NAMES {
        for precision in TYPES {
            for kind in [Kind::Train, Kind::Infer] {
                for batch in [1, 64, 256] {
                    let usual = *model == "resnet50" || precision == Precision::mixed_f16();
                    cases.push((Case { kind, model, precision, batch }, usual));
                }
            }
        }
    }
    cases
}

impl Options {
    fn wants(&self, case: &Case, usual: bool) -> bool {
        let name = case.to_string();
        let named =
            |filter: &String| if self.exact { name == *filter } else { name.contains(filter.as_str()) };
        if self.filters.is_empty() { usual } else { self.filters.iter().any(named) }
    }
}

fn main() -> Result<ExitCode> {
    let started = Instant::now();
    let options = Options::parse();
    let cases: Vec<Case> = cases()
        .into_iter()
        .filter(|(case, usual)| options.wants(case, *usual))
        .map(|(case, _)| case)
        .collect();
    if let Some(run) = options.run {
        let [case] = cases[..] else { bail!("a process runs one case, not {}", cases.len()) };
        println!("{}", case.run(run, &options, started)?);
        return Ok(ExitCode::SUCCESS);
    }
    if cases.is_empty() {
        bail!("no case bears such a name; one is train/resnet50/fp16/256");
    }
    let device = match Device::new(0) {
        Ok(device) => device,
        Err(error) => {
            println!("resnet: this benchmark needs an NVIDIA GPU. {error}");
            return Ok(ExitCode::SUCCESS);
        }
    };
    let machine = gpu(&device)?.cuda().properties().name.clone();
    let mut ceilings: Vec<(Precision, Ceilings)> = Vec::new();
    for precision in
        TYPES.into_iter().filter(|&precision| cases.iter().any(|case| case.precision == precision))
    {
        let measured = gpu(&device)?.ceilings(precision)?;
        println!("{machine}, {}: {measured}", type_name(precision));
        ceilings.push((precision, measured));
    }
    let versions = versions(gpu(&device)?);
    // The cases have the GPU's memory to themselves.
    drop(device);

    let mut lines = Vec::new();
    let mut failed = false;
    for case in &cases {
        let Some((_, ceilings)) = ceilings.iter().find(|(precision, _)| *precision == case.precision) else {
            continue;
        };
        match case.measure(&options, ceilings) {
            Ok(line) => {
                println!("{}", Row(&line));
                lines.push(line);
            }
            Err(error) => {
                eprintln!("{case}: {error:#}");
                failed = true;
            }
        }
    }
    let file = keep(&machine, &lines)?;
    lines.iter().for_each(|line| println!("{line}"));
    println!(
        "{}",
        json!({ "bench": "resnet", "by": "ocelli", "gpu": machine, "versions": versions, "file": file })
    );
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn gpu(device: &Device) -> Result<&Gpu> {
    device.gpu().context("the device is no GPU")
}

impl Case {
    /// A line of results, from processes of its own.
    fn measure(&self, options: &Options, ceilings: &Ceilings) -> Result<Value> {
        let fresh = tempfile::tempdir()?;
        let cache = options.cache.as_deref().unwrap_or(fresh.path());
        let empty = fs::read_dir(cache).map_or(true, |mut entries| entries.next().is_none());
        let cold = if empty { Some(self.start(Run::First, cache, options)?) } else { None };
        let mut line = self.start(Run::Timed, cache, options)?;
        let number = |line: &Map<String, Value>, key: &str| line.get(key).and_then(Value::as_f64);
        let missing = || format!("{self} printed no result");
        let seconds = number(&line, "ms").with_context(missing)? * 1e-3;
        let (flops, bytes) = (number(&line, "flops"), number(&line, "bytes"));
        line.insert(
            "share_of_product".into(),
            json!(flops.map(|flops| flops / seconds / ceilings.operations)),
        );
        line.insert("share_of_copy".into(), json!(bytes.map(|bytes| bytes / seconds / ceilings.bytes)));
        line.insert("product_tflops".into(), json!(ceilings.operations / 1e12));
        line.insert("copy_gb_per_s".into(), json!(ceilings.bytes / 1e9));
        let warm = line.remove("first_step_s").with_context(missing)?;
        line.insert("warm_first_step_s".into(), warm);
        if let Some(first) = cold.and_then(|mut cold| cold.remove("first_step_s")) {
            line.insert("cold_first_step_s".into(), first);
        }
        Ok(Value::Object(line))
    }

    /// Runs the case in a process of its own with this cache directory, and returns the line that it prints last.
    fn start(&self, run: Run, cache: &Path, options: &Options) -> Result<Map<String, Value>> {
        let mut command = Command::new(env::current_exe()?);
        command.arg(self.to_string()).arg("--exact");
        for (name, value) in
            [("--run", run.to_possible_value()), ("--images", options.images.to_possible_value())]
        {
            command.arg(name).args(value.as_ref().map(|value| value.get_name()));
        }
        if options.explain {
            command.arg("--explain");
        }
        if options.save_memory {
            command.arg("--save-memory");
        }
        // The driver keeps what it compiles, too.
        command.env("OCELLI_CACHE", cache).env("CUDA_CACHE_PATH", cache.join("driver"));
        let output = command.stderr(Stdio::inherit()).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            bail!("its process ended with {}", output.status);
        }
        let (before, last) = text.trim_end().rsplit_once('\n').unwrap_or(("", text.trim_end()));
        if !before.is_empty() {
            println!("{before}");
        }
        serde_json::from_str(last).with_context(|| format!("{self} printed {last:?}"))
    }

    /// What identifies the case among the results of a card.
    fn case(&self, options: &Options) -> String {
        let saving = if options.save_memory { ", saving memory" } else { "" };
        format!("{}, batch {}{saving}", self.model, self.batch)
    }

    /// Runs the case here.
    fn run(&self, run: Run, options: &Options, started: Instant) -> Result<Value> {
        let plan = PlanOptions { save_memory: options.save_memory, ..PlanOptions::default() };
        let device = Device::with_plan_options(0, plan)?;
        device.set_precision(self.precision);
        let mut measured = match self.kind {
            Kind::Train => self.train(&device, run, options, started)?,
            Kind::Infer => self.infer(&device, run, options, started)?,
        };
        measured.extend([
            ("bench".into(), json!("resnet")),
            ("by".into(), json!("ocelli")),
            ("work".into(), json!(self.kind.name())),
            ("model".into(), json!(self.model)),
            ("batch".into(), json!(self.batch)),
            ("images".into(), json!(self.image_type(options).to_string())),
            ("case".into(), json!(self.case(options))),
            ("direction".into(), json!(self.kind.name())),
            ("type".into(), json!(type_name(self.precision))),
        ]);
        Ok(Value::Object(measured))
    }

    fn image_type(&self, options: &Options) -> TensorType {
        match options.images {
            Images::Loader => {
                TensorType::new(self.precision.compute_type(), Shape::nhwc(self.batch, SIZE, SIZE, 4))
            }
            Images::F32 => TensorType::new(DType::F32, Shape::nhwc(self.batch, SIZE, SIZE, 3)),
        }
    }

    /// Random images on the device.
    fn images(&self, device: &Device, options: &Options) -> ocelli::Result<Tensor> {
        let ty = self.image_type(options);
        let shape = ty.shape.dims();
        let pixels = pixels(ty);
        match ty.dtype {
            DType::F16 => {
                let pixels: Vec<f16> = pixels.into_iter().map(f16::from_f32).collect();
                Tensor::from_slice(device, &pixels, shape)?.to_device()
            }
            DType::BF16 => {
                let pixels: Vec<bf16> = pixels.into_iter().map(bf16::from_f32).collect();
                Tensor::from_slice(device, &pixels, shape)?.to_device()
            }
            _ => Tensor::from_slice(device, &pixels, shape)?.to_device(),
        }
    }

    fn network(&self, device: &Device) -> Result<(Params, ResNet)> {
        let params = Params::new(device, Seed(1));
        let config = ResNetConfig { classes: CLASSES, ..Default::default() };
        let net = ResNet::by_name(self.model, &params, config)?;
        Ok((params, net))
    }

    fn train(
        &self,
        device: &Device,
        run: Run,
        options: &Options,
        started: Instant,
    ) -> Result<Map<String, Value>> {
        let (params, net) = self.network(device)?;
        let config = SgdConfig { lr: 0.1, momentum: 0.9, weight_decay: 5e-5, ..Default::default() };
        let mut sgd = Sgd::new(&params, config);
        let images = self.images(device, options)?;
        let labels: Vec<i32> = (0..self.batch).map(|image| (image * 7919 % CLASSES) as i32).collect();
        let labels = Tensor::from_slice(device, &labels, &[self.batch])?.to_device()?;
        let smoothing = CrossEntropyConfig { label_smoothing: 0.1, ..Default::default() };
        let mut step = || -> Result<Tensor> {
            let logits = net.forward(&images.cast(DType::F32)?)?;
            let loss = logits.cross_entropy(&labels, smoothing)?;
            sgd.minimize(&loss)?;
            Ok(loss)
        };
        let first_loss = step()?.value()?;
        let mut measured = Map::new();
        measured.insert("first_step_s".into(), json!(started.elapsed().as_secs_f64()));
        if run == Run::First {
            return Ok(measured);
        }
        let mut sample = |steps: usize| -> Result<f64> {
            device.synchronize()?;
            let begin = Instant::now();
            for _ in 0..steps {
                step()?;
            }
            device.synchronize()?;
            Ok(begin.elapsed().as_secs_f64() * 1e3 / steps as f64)
        };
        sample(WARM_UP)?;
        let steps = ((SAMPLE_MS / sample(WARM_UP)?).round() as usize).clamp(3, 200);
        let samples = (0..SAMPLES).map(|_| sample(steps)).collect::<Result<Vec<f64>>>()?;
        let milliseconds = median(samples).context("nothing was timed")?;
        let last_loss = step()?.value()?;
        measured.insert("losses".into(), json!([first_loss, last_loss]));
        let plan = gpu(device)?.report().into_iter().max_by_key(|plan| plan.launches.len());
        self.describe(&mut measured, device, milliseconds, &plan.context("nothing was planned")?)?;
        if options.explain {
            print_explanation(gpu(device)?.explain()?);
        }
        Ok(measured)
    }

    fn infer(
        &self,
        device: &Device,
        run: Run,
        options: &Options,
        started: Instant,
    ) -> Result<Map<String, Value>> {
        let (params, net) = self.network(device)?;
        params.eval();
        let ty = self.image_type(options);
        let network = move |images: &Tensor| net.forward(&images.cast(DType::F32)?);
        let mut session = Session::new(device, ty, self.precision, network)?;
        let pixels = pixels(ty);
        match ty.dtype {
            DType::F16 => session.run(&pixels.into_iter().map(f16::from_f32).collect::<Vec<_>>())?,
            DType::BF16 => session.run(&pixels.into_iter().map(bf16::from_f32).collect::<Vec<_>>())?,
            _ => session.run(&pixels)?,
        };
        let mut measured = Map::new();
        measured.insert("first_step_s".into(), json!(started.elapsed().as_secs_f64()));
        if run == Run::First {
            return Ok(measured);
        }
        let trial = session.latencies(WARM_UP)?.end_to_end.p50;
        let runs = ((SAMPLES as f64 * SAMPLE_MS * 1e3 / trial).round() as usize).clamp(30, 2000);
        let latencies = session.latencies(runs)?;
        let times = |times: ocelli::Times| json!({ "p50": times.p50, "p95": times.p95, "p99": times.p99, "mean": times.mean });
        let launches = latencies.launches.context("nothing was timed on the GPU")?;
        measured.insert("latency_us".into(), times(latencies.end_to_end));
        measured.insert("gpu_us".into(), times(launches));
        let plan = session.report().context("nothing was planned")?;
        self.describe(&mut measured, device, launches.p50 * 1e-3, &plan)?;
        if options.explain {
            print_explanation(session.explain()?);
        }
        Ok(measured)
    }

    /// Adds what follows from the time and the plan, and the memory that it took.
    fn describe(
        &self,
        measured: &mut Map<String, Value>,
        device: &Device,
        milliseconds: f64,
        plan: &PlanReport,
    ) -> Result<()> {
        let memory = gpu(device)?.memory()?;
        measured.extend([
            ("ms".into(), json!(milliseconds)),
            ("images_per_s".into(), json!(1e3 * self.batch as f64 / milliseconds)),
            ("launches".into(), json!(plan.launches.len())),
            ("flops".into(), json!(plan.operations())),
            ("bytes".into(), json!(plan.bytes())),
            ("arena_bytes".into(), json!(plan.arena_bytes)),
            ("workspace_bytes".into(), json!(plan.workspace_bytes)),
            ("peak_bytes".into(), json!(memory.peak)),
            ("reserved_bytes".into(), json!(memory.reserved)),
            ("driver_bytes".into(), json!(memory.total - memory.free)),
        ]);
        Ok(())
    }
}

/// Random numbers; where there is a fourth channel, it holds zeros.
fn pixels(ty: TensorType) -> Vec<f32> {
    let channels = ty.shape.channels();
    let mut pixels = random(ty.shape.elements(), |value| value);
    if channels == 4 {
        pixels.iter_mut().skip(3).step_by(4).for_each(|padding| *padding = 0.0);
    }
    pixels
}

fn print_explanation(explanation: Option<Explanation>) {
    if let Some(explanation) = explanation {
        println!("{explanation}");
        match serde_json::to_string(&explanation) {
            Ok(line) => println!("{line}"),
            Err(error) => eprintln!("{error}"),
        }
    }
}

/// A line for people.
struct Row<'a>(&'a Value);

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |key: &str| self.0[key].as_f64();
        let text = |key: &str| self.0[key].as_str().unwrap_or_default();
        write!(f, "{:6} {:28} {:5}", text("work"), text("case"), text("type"))?;
        let parts = [
            ("ms", 1.0, 9, 3, " ms"),
            ("images_per_s", 1.0, 8, 0, " images/s"),
            ("peak_bytes", 1.0 / (1u64 << 30) as f64, 6, 2, " GiB"),
            ("launches", 1.0, 4, 0, " launches"),
            ("share_of_product", 100.0, 4, 0, " % of the product's rate"),
            ("share_of_copy", 100.0, 4, 0, " % of the copy's"),
            ("cold_first_step_s", 1.0, 6, 2, " s cold"),
            ("warm_first_step_s", 1.0, 6, 2, " s warm"),
        ];
        for (key, scale, width, digits, unit) in parts {
            if let Some(value) = number(key) {
                write!(f, " {:width$.digits$}{unit}", value * scale)?;
            }
        }
        let latency = &self.0["latency_us"];
        if let (Some(p50), Some(p99)) = (latency["p50"].as_f64(), latency["p99"].as_f64()) {
            write!(f, ", latency p50 {p50:.0} us, p99 {p99:.0} us")?;
        }
        Ok(())
    }
}
