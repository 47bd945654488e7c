//! Says what is on pictures: each file's likeliest classes, by a residual network that was trained on ImageNet or on images
//! of your own.
//!
//! ```text
//! cargo run --release --example classify -- --weights resnet50.safetensors --labels imagenet.txt dog.jpg cat.png
//!
//! dog.jpg
//! <the likeliest class> 49.52%
//! <the next> 42.90%
//! ..
//! ```
//!
//! The weights are a safetensors file with PyTorch's names. `--save` of the example `resnet` (recipe `imagenet`) writes one,
//! and so do three lines of Python, which fetch the network that torchvision's authors trained:
//!
//! ```python
//! import torchvision
//! from safetensors.torch import save_file
//! save_file(torchvision.models.resnet50(weights="IMAGENET1K_V1").state_dict(), "resnet50.safetensors")
//! ```
//!
//! The labels are a text file with the name of one class a line, in the order of the network's outputs. A WordNet identifier
//! before the name, as in `n02110185 Siberian husky`, is left out. Torchvision knows the names of ImageNet's classes:
//!
//! ```python
//! names = torchvision.models.ResNet50_Weights.IMAGENET1K_V1.meta["categories"]
//! open("imagenet.txt", "w").write("\n".join(names))
//! ```
//!
//! `benches/peers/classify.py` gives PyTorch's answers in the same form.

#[path = "common/precision.rs"]
mod precision;

use std::fs;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::Parser;
use ocelli::data::augment::{Augmentation, Output};
use ocelli::data::images::ImageFiles;
use ocelli::data::loader::{Batches, Loader, LoaderConfig, OnDamaged};
use ocelli::data::sampler::Sampler;
use ocelli::data::{Encoded, with_causes};
use ocelli::format::safetensors::Weights;
use ocelli::models::{NAMES, ResNet, ResNetConfig};
use ocelli::prelude::*;
use ocelli::{Shape, TensorType, cuda};
use serde_json::json;

use precision::PrecisionOption;

/// Rows and columns that the network sees: the middle of an image whose shorter side was scaled to 256.
const SIZE: usize = 224;

#[derive(Parser)]
#[command(about = "Says what is on pictures")]
struct Options {
    /// Images: JPEG, PNG, WebP, TIFF, BMP, PPM
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The network
    #[arg(long, default_value = "resnet50", value_parser = clap::builder::PossibleValuesParser::new(NAMES))]
    model: String,
    /// Its weights: a safetensors file with PyTorch's names
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    /// The names of the classes, one a line; without them classes are numbered
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Guesses for each image
    #[arg(long, value_name = "NUMBER", default_value = "5")]
    top: NonZeroUsize,
    /// Images that go through the network at once
    #[arg(long, value_name = "NUMBER", default_value = "64")]
    batch: NonZeroUsize,
    /// Turn images as their EXIF says, as cameras hold them; torchvision's programs do not
    #[arg(long)]
    exif: bool,
    /// The element type of convolutions and matrix products
    #[arg(long, value_enum, default_value_t = PrecisionOption::F16)]
    precision: PrecisionOption,
    /// Which GPU, counted from 0
    #[arg(long, default_value_t = 0)]
    device: usize,
    /// Print a line of JSON for each image
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    run(&Options::parse()).unwrap_or_else(|error| {
        eprintln!("error: {}", with_causes(&*error));
        ExitCode::FAILURE
    })
}

fn run(options: &Options) -> Result<ExitCode> {
    let mut weights = Weights::open(&options.weights)?;
    let classes = count_classes(&weights).with_context(|| {
        format!("there is no fc.weight [classes, features] in {}", options.weights.display())
    })?;
    let names = match &options.labels {
        Some(path) => read_labels(path, classes)?,
        None => (0..classes).map(|class| format!("class {class}")).collect(),
    };
    let missing = cuda::stack::missing();
    if let Some(library) = missing.first() {
        bail!("{library} not found: `ocelli doctor` says where it was looked for and how to install it");
    }
    let device = Device::new(options.device)?;
    let params = Params::zeroed(&device);
    let resnet = ResNet::by_name(&options.model, &params, ResNetConfig { classes, ..Default::default() })?;
    weights.load(&params).with_context(|| {
        let (path, model) = (options.weights.display(), &options.model);
        format!(
            "{path} are not the weights of a {model} for images of ImageNet's size: name their network with --model (those \
             of the recipe cifar begin with another convolution)"
        )
    })?;
    params.eval();

    let (batch, precision) = (options.batch.get().min(options.files.len()), options.precision.into());
    let mut session = serve(&device, resnet, precision, batch)?;
    let mut unreadable = 0;
    for images in prepare(&device, &options.files, batch, precision, options.exif)? {
        let images = images?;
        for damaged in &images.damaged {
            eprintln!("{}", damaged.error);
        }
        unreadable += images.damaged.len();
        let outputs = session.run(&images.image_tensor(&device)?)?;
        for (&place, probabilities) in images.labels.iter().zip(outputs.get::<f32>(0)?.chunks_exact(classes))
        {
            // What is no image's place was unreadable, or fills the last batch.
            let Some(file) = usize::try_from(place).ok().and_then(|place| options.files.get(place)) else {
                continue;
            };
            let guesses = guesses(probabilities, &names, options.top.get());
            let answer = if options.json { as_json(file, &guesses) } else { as_text(file, &guesses) };
            match writeln!(io::stdout(), "{answer}") {
                // A reader that went away, as `head` does, wants no more.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
                written => written.context("the answers cannot be written")?,
            }
        }
    }
    if unreadable > 0 {
        eprintln!("{unreadable} of {} images were not classified", options.files.len());
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// How many classes the last layer tells apart.
fn count_classes(weights: &Weights) -> Option<usize> {
    match *weights.extents("fc.weight")? {
        [classes, features] if classes > 0 && features > 0 => Some(classes),
        _ => None,
    }
}

/// The network from normalised images `[batch, 224, 224, 4]` to probabilities `f32[batch, classes]`, ready to be run.
fn serve(device: &Device, resnet: ResNet, precision: Precision, batch: usize) -> Result<Session> {
    let images = TensorType::new(precision.compute_type(), Shape::nhwc(batch, SIZE, SIZE, 4));
    let network = move |images: &Tensor| resnet.forward(images)?.softmax();
    Ok(Session::new(device, images, precision, network)?)
}

/// Reads and decodes images, scales them so that the shorter side has 256 pixels, cuts out their middles, and takes red,
/// green and blue to mean 0 and deviation 1, as the network has learned to see them: batches on the GPU, in the order of
/// the files. The label of each image is its place among the files. The network is fastest on four channels, of which the
/// last holds zeros.
fn prepare(
    device: &Device,
    files: &[PathBuf],
    batch: usize,
    precision: Precision,
    exif: bool,
) -> Result<Batches> {
    let config = LoaderConfig {
        batch,
        augmentation: Augmentation { exif, ..Augmentation::imagenet_evaluation(SIZE as u32) },
        output: Output { dtype: image_element(precision), channels: 4, ..Output::default() },
        damaged: OnDamaged::Skip,
        ..LoaderConfig::default()
    };
    let gpu = device.gpu().context("the device is no GPU")?;
    let files = Arc::new(ImageFiles::new(files.to_vec()));
    let sampler = Sampler::sequential(files.len());
    Ok(Loader::new(gpu.cuda(), files, sampler, config)?.epoch(0)?)
}

/// The names of the classes, in a file with one a line.
fn read_labels(path: &Path, classes: usize) -> Result<Vec<String>> {
    let text = fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let names: Vec<String> = text.trim_end().lines().map(|line| class_name(line).to_string()).collect();
    if names.len() != classes {
        let lines = names.len();
        bail!(
            "the network has {classes} classes, and {} has {lines} lines: it should have one a class",
            path.display()
        );
    }
    Ok(names)
}

/// A line without the WordNet identifier that may stand before the name: the letter n and eight digits.
fn class_name(line: &str) -> &str {
    let line = line.trim();
    let is_identifier = |word: &str| {
        let digits = word.strip_prefix('n').unwrap_or_default();
        digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    match line.split_once(char::is_whitespace) {
        Some((word, name)) if is_identifier(word) => name.trim_start(),
        _ => line,
    }
}

/// A class that an image may show.
#[derive(Debug, PartialEq)]
struct Guess<'a> {
    class: usize,
    name: &'a str,
    /// From 0 to 1.
    probability: f32,
}

/// The likeliest classes, at most `top`, the likeliest first; of equally likely ones the first in the file.
fn guesses<'a>(probabilities: &[f32], names: &'a [String], top: usize) -> Vec<Guess<'a>> {
    let guess =
        |(class, (&probability, name)): (usize, (&f32, &'a String))| Guess { class, name, probability };
    let mut guesses: Vec<Guess> = probabilities.iter().zip(names).enumerate().map(guess).collect();
    guesses.sort_by(|a, b| b.probability.total_cmp(&a.probability));
    guesses.truncate(top);
    guesses
}

/// The file, and a line for each guess.
fn as_text(file: &Path, guesses: &[Guess]) -> String {
    let line = |guess: &Guess| format!("\n{} {:.2}%", guess.name, 100.0 * guess.probability);
    file.display().to_string() + &guesses.iter().map(line).collect::<String>()
}

/// The same as one line of JSON.
fn as_json(file: &Path, guesses: &[Guess]) -> String {
    let guess = |&Guess { class, name, probability }: &Guess| json!({ "class": class, "name": name, "probability": probability });
    let guesses: Vec<_> = guesses.iter().map(guess).collect();
    json!({ "file": file.to_string_lossy(), "guesses": guesses }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.into()).collect()
    }

    #[test]
    fn a_wordnet_identifier_before_a_name_is_left_out() {
        assert_eq!(class_name("Siberian husky"), "Siberian husky");
        assert_eq!(class_name("n02110185 Siberian husky"), "Siberian husky");
        assert_eq!(class_name("n02110185\tSiberian husky\r"), "Siberian husky");
        // Names that look a little like one.
        for name in [
            "n02110185",
            "n0211018 husky",
            "n0211o185 husky",
            "nematode",
            "n021101850 husky",
            "02110185 n",
            "",
        ] {
            assert_eq!(class_name(name), name);
        }
    }

    #[test]
    fn labels_are_as_many_as_the_classes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("labels.txt");
        fs::write(&path, "n01440764 tench\nn01443537 goldfish\ngreat white shark, white shark\n").unwrap();
        let expected = names(&["tench", "goldfish", "great white shark, white shark"]);
        assert_eq!(read_labels(&path, 3).unwrap(), expected);
        for classes in [2, 4] {
            let message = read_labels(&path, classes).unwrap_err().to_string();
            assert!(
                message.contains(&format!("{classes} classes")) && message.contains("3 lines"),
                "{message}"
            );
            assert!(message.contains("labels.txt"), "{message}");
        }
        let message = read_labels(&directory.path().join("none.txt"), 3).unwrap_err().to_string();
        assert!(message.contains("none.txt"), "{message}");
    }

    #[test]
    fn the_likeliest_come_first_and_of_equals_the_first() {
        let names = names(&["tench", "goldfish", "shark", "ray"]);
        let classes = |top| -> Vec<usize> {
            guesses(&[0.2, 0.1, 0.5, 0.2], &names, top).iter().map(|guess| guess.class).collect()
        };
        assert_eq!(classes(3), [2, 0, 3]);
        assert_eq!(classes(9), [2, 0, 3, 1]);
        assert!(classes(0).is_empty());
        let best = Guess { class: 2, name: "shark", probability: 0.5 };
        assert_eq!(guesses(&[0.2, 0.1, 0.5, 0.2], &names, 1), [best]);
    }

    #[test]
    fn guesses_are_lines_or_one_line_of_json() {
        let husky = Guess { class: 250, name: "Siberian husky", probability: 0.495_23 };
        let dog = Guess { class: 248, name: "Eskimo \"dog\"", probability: 0.25 };
        let (file, guesses) = (Path::new("dogs/1.jpg"), [husky, dog]);
        assert_eq!(as_text(file, &guesses), "dogs/1.jpg\nSiberian husky 49.52%\nEskimo \"dog\" 25.00%");
        let line = as_json(file, &guesses);
        assert!(!line.contains('\n'), "{line}");
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["file"], "dogs/1.jpg");
        assert_eq!(
            read["guesses"][1],
            json!({ "class": 248, "name": "Eskimo \"dog\"", "probability": 0.25 })
        );
    }

    #[test]
    fn the_network_takes_images_and_yields_a_probability_for_each_class() {
        // Knows shapes, and keeps no values.
        let device = ocelli_oracle::shape_device(|_| Ok(()));
        let params = Params::zeroed(&device);
        let config = ResNetConfig { classes: 7, ..Default::default() };
        let resnet = ResNet::by_name("resnet18", &params, config).unwrap();
        params.eval();
        let mut session = serve(&device, resnet, Precision::mixed_f16(), 2).unwrap();
        let images = vec![half::f16::ZERO; 2 * SIZE * SIZE * 4];
        let outputs = session.run(&images).unwrap();
        assert_eq!(outputs.ty(0), Some(TensorType::new(DType::F32, Shape::matrix(2, 7))));
    }

    #[test]
    #[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
    fn images_come_in_order_and_unreadable_ones_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str| directory.path().join(name);
        // Grey images of other shades, twice as wide as high, and a file that is no image.
        let files = [file("0.png"), file("1.jpg"), file("2.png")];
        for (path, shade) in [(&files[0], 40), (&files[2], 200)] {
            image::RgbImage::from_pixel(600, 300, image::Rgb([shade; 3])).save(path).unwrap();
        }
        fs::write(&files[1], "no image").unwrap();

        let device = Device::new(0).unwrap();
        let batches: Vec<_> =
            prepare(&device, &files, 2, Precision::F32, false).unwrap().map(|batch| batch.unwrap()).collect();
        let [first, second] = &batches[..] else { panic!("{} batches", batches.len()) };
        assert_eq!((first.labels[0], second.labels[0]), (0, 2));
        assert!(first.labels[1] < 0 && second.labels[1] < 0);
        let each = SIZE * SIZE * 4;
        for (batch, shade) in [(first, 40.0), (second, 200.0)] {
            let values = batch.image_tensor(&device).unwrap().to_vec::<f32>().unwrap();
            // As torchvision normalises.
            let expected = [0, 1, 2].map(|channel| {
                let Output { mean, deviation, .. } = Output::default();
                (shade / 255.0 - mean[channel]) / deviation[channel]
            });
            for pixel in values[..each].chunks_exact(4) {
                assert!(pixel.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{pixel:?}");
                assert_eq!(pixel[3], 0.0);
            }
            assert!(values[each..].iter().all(|&value| value == 0.0));
        }
        let [damaged] = &first.damaged[..] else { panic!("{:?}", first.damaged) };
        assert!(damaged.error.to_string().contains("1.jpg"), "{}", damaged.error);
    }
}
