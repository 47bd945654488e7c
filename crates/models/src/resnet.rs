//! Residual networks: ResNet, ResNeXt and wide ResNet.
//!
//! Sources: He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", 2015; Xie, Girshick, Dollár, Tu and
//! He, "Aggregated Residual Transformations for Deep Neural Networks", 2017; Zagoruyko and Komodakis, "Wide Residual
//! Networks", 2016; torchvision's `resnet.py` for names, initial values and the place of the stride: on the 3x3
//! convolution of a bottleneck, not on the 1x1 before it, which is known as version 1.5.

use ocelli_core::init::{Fan, Fans, Init};
use ocelli_core::nn::{BatchNorm2d, BatchNormConfig, Conv2d, Conv2dConfig, Linear, Module, Params};
use ocelli_core::ops::{self, pool::Windows};
use ocelli_core::{DType, Result, Shape, State, Tensor};

use crate::Error;

/// What a residual network can be asked to be. The default is torchvision's: 1,000 classes, ImageNet's stem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResNetConfig {
    /// How many logits there are for each image.
    pub classes: usize,
    /// What comes before the first block.
    pub stem: Stem,
    /// Start the weight of each block's last batch normalisation at zero, so that every block begins as the identity
    /// (Goyal et al., "Accurate, Large Minibatch SGD", 2017).
    pub zero_init_residual: bool,
}

impl Default for ResNetConfig {
    fn default() -> ResNetConfig {
        ResNetConfig { classes: 1000, stem: Stem::ImageNet, zero_init_residual: false }
    }
}

/// What comes before the first block of a residual network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stem {
    /// A 7x7 convolution with stride 2 and a 3x3 max pool with stride 2: images become a quarter as high and wide. The
    /// network divides them by 32.
    #[default]
    ImageNet,
    /// A 3x3 convolution with stride 1, for images as small as CIFAR's 32x32. The network divides them by 8.
    Cifar,
}

/// The networks that [`ResNet::by_name`] knows.
pub const NAMES: &[&str] = &{
    let mut names = [""; ARCHITECTURES.len()];
    let mut i = 0;
    while i < names.len() {
        names[i] = ARCHITECTURES[i].name;
        i += 1;
    }
    names
};

/// What tells one residual network from another.
#[derive(Clone, Copy)]
struct Architecture {
    name: &'static str,
    kind: BlockKind,
    /// Blocks in each of the four stages.
    depths: [usize; 4],
    /// Groups of the 3x3 convolutions.
    groups: usize,
    /// Channels of a group in the first stage.
    width_per_group: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum BlockKind {
    /// Two 3x3 convolutions.
    Basic,
    /// A 1x1, a 3x3 and another 1x1 convolution with four times as many channels.
    Bottleneck,
}

impl BlockKind {
    /// How many times a stage's base width its blocks yield.
    const fn expansion(self) -> usize {
        match self {
            BlockKind::Basic => 1,
            BlockKind::Bottleneck => 4,
        }
    }
}

const RESNET18: Architecture = plain("resnet18", BlockKind::Basic, [2, 2, 2, 2]);
const RESNET34: Architecture = plain("resnet34", BlockKind::Basic, [3, 4, 6, 3]);
const RESNET50: Architecture = plain("resnet50", BlockKind::Bottleneck, [3, 4, 6, 3]);
const RESNET101: Architecture = plain("resnet101", BlockKind::Bottleneck, [3, 4, 23, 3]);
const RESNET152: Architecture = plain("resnet152", BlockKind::Bottleneck, [3, 8, 36, 3]);
const RESNEXT50_32X4D: Architecture =
    Architecture { name: "resnext50_32x4d", groups: 32, width_per_group: 4, ..RESNET50 };
const RESNEXT101_32X8D: Architecture =
    Architecture { name: "resnext101_32x8d", groups: 32, width_per_group: 8, ..RESNET101 };
const WIDE_RESNET50_2: Architecture =
    Architecture { name: "wide_resnet50_2", width_per_group: 128, ..RESNET50 };
const WIDE_RESNET101_2: Architecture =
    Architecture { name: "wide_resnet101_2", width_per_group: 128, ..RESNET101 };

const ARCHITECTURES: [Architecture; 9] = [
    RESNET18,
    RESNET34,
    RESNET50,
    RESNET101,
    RESNET152,
    RESNEXT50_32X4D,
    RESNEXT101_32X8D,
    WIDE_RESNET50_2,
    WIDE_RESNET101_2,
];

const fn plain(name: &'static str, kind: BlockKind, depths: [usize; 4]) -> Architecture {
    Architecture { name, kind, depths, groups: 1, width_per_group: 64 }
}

macro_rules! constructors {
    ($($(#[$doc:meta])+ $name:ident = $architecture:ident;)+) => {$(
        $(#[$doc])+
        ///
        /// # Errors
        /// Names that are taken; a failure to allocate.
        pub fn $name(params: impl AsRef<Params>, config: ResNetConfig) -> Result<ResNet> {
            ResNet::new(params.as_ref(), $architecture, config)
        }
    )+};
}

constructors! {
    /// ResNet-18: 11,689,512 parameters with ImageNet's stem and 1,000 classes.
    resnet18 = RESNET18;
    /// ResNet-34: 21,797,672 parameters with ImageNet's stem and 1,000 classes.
    resnet34 = RESNET34;
    /// ResNet-50, version 1.5: 25,557,032 parameters with ImageNet's stem and 1,000 classes.
    resnet50 = RESNET50;
    /// ResNet-101, version 1.5: 44,549,160 parameters with ImageNet's stem and 1,000 classes.
    resnet101 = RESNET101;
    /// ResNet-152, version 1.5: 60,192,808 parameters with ImageNet's stem and 1,000 classes.
    resnet152 = RESNET152;
    /// ResNeXt-50, 32 groups of 4 channels: 25,028,904 parameters with ImageNet's stem and 1,000 classes.
    resnext50_32x4d = RESNEXT50_32X4D;
    /// ResNeXt-101, 32 groups of 8 channels: 88,791,336 parameters with ImageNet's stem and 1,000 classes.
    resnext101_32x8d = RESNEXT101_32X8D;
    /// ResNet-50 with 3x3 convolutions twice as wide: 68,883,240 parameters with ImageNet's stem and 1,000 classes.
    wide_resnet50_2 = WIDE_RESNET50_2;
    /// ResNet-101 with 3x3 convolutions twice as wide: 126,886,696 parameters with ImageNet's stem and 1,000 classes.
    wide_resnet101_2 = WIDE_RESNET101_2;
}

/// A residual network: images `[n, h, w, 3]` to logits `[n, classes]`.
///
/// Images `[n, h, w, 4]` are taken as well; the fourth channel, which should hold zeros, has no weights and changes
/// nothing. That is the faster form: convolutions in 16 bits want four channels, and images of three that have been
/// computed from others are padded in a pass of their own. Pad the pixels before anything is computed from them
/// ([`Tensor::channel_pad`]), and the padding shares the launch that reads them.
///
/// The parameters are named `conv1`, `bn1`, `layer1.0.conv1`, .., `layer4.2.bn3`, `layer1.0.downsample.0` (convolution) and
/// `.1` (batch normalisation), `fc`.
pub struct ResNet {
    stem: StemConv,
    bn1: BatchNorm2d,
    pool: Option<Windows>,
    blocks: Vec<Block>,
    fc: Linear,
}

impl ResNet {
    /// The network of this name, one of [`NAMES`].
    ///
    /// # Errors
    /// [`Error::UnknownModel`] with the names there are; parameter names that are taken; a failure to allocate.
    pub fn by_name(name: &str, params: impl AsRef<Params>, config: ResNetConfig) -> crate::Result<ResNet> {
        match ARCHITECTURES.into_iter().find(|architecture| architecture.name == name) {
            Some(architecture) => Ok(ResNet::new(params.as_ref(), architecture, config)?),
            None => Err(Error::UnknownModel { name: name.to_string(), known: NAMES }),
        }
    }

    fn new(params: &Params, architecture: Architecture, config: ResNetConfig) -> Result<ResNet> {
        let Architecture { kind, depths, .. } = architecture;
        let stem = StemConv::new(params / "conv1", config.stem)?;
        let bn1 = batch_norm(params / "bn1", STEM_CHANNELS)?;
        let mut blocks = Vec::new();
        let mut inputs = STEM_CHANNELS;
        for (stage, depth) in depths.into_iter().enumerate() {
            let base = STEM_CHANNELS << stage;
            for index in 0..depth {
                let path = params / &format!("layer{}", stage + 1) / &index.to_string();
                // The first stage follows the stem at its resolution; each other halves it in its first block.
                let stride = if stage > 0 && index == 0 { 2 } else { 1 };
                blocks.push(Block::new(
                    &path,
                    inputs,
                    base,
                    stride,
                    architecture,
                    config.zero_init_residual,
                )?);
                inputs = base * kind.expansion();
            }
        }
        let pool = (config.stem == Stem::ImageNet).then(|| Windows::square(3).stride(2).padding(1));
        let fc = Linear::new(params / "fc", inputs, config.classes)?;
        Ok(ResNet { stem, bn1, pool, blocks, fc })
    }
}

impl Module for ResNet {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = self.bn1.forward(&self.stem.forward(x)?)?.relu()?;
        if let Some(windows) = self.pool {
            x = x.max_pool2d(windows)?;
        }
        for block in &self.blocks {
            x = block.forward(&x)?;
        }
        self.fc.forward(&x.mean_images()?.flatten()?)
    }
}

/// Channels after the stem, and the base width of the first stage.
const STEM_CHANNELS: usize = 64;

/// Channels that the stem's convolution computes with: cuDNN has an engine for first layers in `f16` that wants four, and
/// for three it takes 103 MB of workspace at batch 256.
const IMAGE_CHANNELS: usize = 4;

/// The first convolution. Its filters keep torchvision's three channels; they, and images that have three as well, are
/// padded with zeros in the graph.
struct StemConv {
    weight: State,
    operation: ops::Conv2d,
}

impl StemConv {
    fn new(params: Params, stem: Stem) -> Result<StemConv> {
        let (kernel, stride) = match stem {
            Stem::ImageNet => (7, 2),
            Stem::Cifar => (3, 1),
        };
        let window = kernel * kernel;
        let fans = Fans { fan_in: 3 * window, fan_out: STEM_CHANNELS * window };
        let shape = Shape::nhwc(STEM_CHANNELS, kernel, kernel, 3);
        Ok(StemConv {
            weight: params.parameter("weight", shape, fans, Init::KaimingNormal(Fan::Out))?,
            operation: ops::Conv2d {
                stride: [stride; 2],
                padding: [kernel / 2; 2],
                ..ops::Conv2d::default()
            },
        })
    }
}

impl Module for StemConv {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let weight = self.weight.tensor().channel_pad(0, IMAGE_CHANNELS)?;
        // Filters are f32. In mixed precision, images of 16 bits get them back without a loss or a pass.
        let x = &if x.dtype() == DType::F32 { x.clone() } else { x.cast(DType::F32)? };
        if x.shape().channels() == 3 {
            return x.channel_pad(0, IMAGE_CHANNELS)?.conv2d(&weight, self.operation);
        }
        x.conv2d(&weight, self.operation)
    }
}

/// A residual block: `relu(convolutions(x) + shortcut(x))`.
struct Block {
    /// Convolutions with their normalisations; a ReLU between one and the next.
    layers: Vec<(Conv2d, BatchNorm2d)>,
    /// What the block's input passes to be of the output's shape, where it is not.
    downsample: Option<(Conv2d, BatchNorm2d)>,
}

impl Block {
    fn new(
        params: &Params,
        inputs: usize,
        base: usize,
        stride: usize,
        architecture: Architecture,
        zero_init_residual: bool,
    ) -> Result<Block> {
        let Architecture { kind, groups, width_per_group, .. } = architecture;
        let outputs = base * kind.expansion();
        // Channels in and out, kernel, stride, groups.
        let convolutions = match kind {
            BlockKind::Basic => vec![(inputs, base, 3, stride, 1), (base, base, 3, 1, 1)],
            BlockKind::Bottleneck => {
                let width = base * width_per_group / STEM_CHANNELS * groups;
                vec![(inputs, width, 1, 1, 1), (width, width, 3, stride, groups), (width, outputs, 1, 1, 1)]
            }
        };
        let mut layers = Vec::with_capacity(convolutions.len());
        for (index, (inputs, outputs, kernel, stride, groups)) in (1..).zip(convolutions) {
            let config = Conv2dConfig { kernel, stride, groups, padding: kernel / 2, ..convolution() };
            layers.push((
                Conv2d::new(params / &format!("conv{index}"), inputs, outputs, config)?,
                batch_norm(params / &format!("bn{index}"), outputs)?,
            ));
        }
        if zero_init_residual {
            let last = params / &format!("bn{}", layers.len());
            last.get("weight")?.set(&vec![0f32; outputs])?;
        }
        let downsample = if stride != 1 || inputs != outputs {
            let (params, config) =
                (params / "downsample", Conv2dConfig { kernel: 1, stride, ..convolution() });
            Some((Conv2d::new(&params / "0", inputs, outputs, config)?, batch_norm(&params / "1", outputs)?))
        } else {
            None
        };
        Ok(Block { layers, downsample })
    }
}

impl Module for Block {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let shortcut = match &self.downsample {
            Some((convolution, norm)) => norm.forward(&convolution.forward(x)?)?,
            None => x.clone(),
        };
        let mut y = x.clone();
        for (index, (convolution, norm)) in self.layers.iter().enumerate() {
            let input = if index == 0 { y } else { y.relu()? };
            y = norm.forward(&convolution.forward(&input)?)?;
        }
        y.add(&shortcut)?.relu()
    }
}

/// What all convolutions but the stem's have in common.
fn convolution() -> Conv2dConfig {
    Conv2dConfig { bias: false, init: Init::KaimingNormal(Fan::Out), ..Conv2dConfig::default() }
}

fn batch_norm(params: Params, channels: usize) -> Result<BatchNorm2d> {
    BatchNorm2d::new(params, channels, BatchNormConfig::default())
}
