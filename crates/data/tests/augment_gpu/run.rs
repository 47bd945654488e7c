//! A batch through the kernel.

use half::{bf16, f16};
use ocelli_cuda::{Device, DeviceBuffer};
use ocelli_data::augment::kernel::{Augmenter, Batch, Descriptor, arrange_scratch};
use ocelli_data::augment::{Drawn, Element, Output, Size};

use crate::stored::Stored;

/// Bytes before and after the batch and the scratch memory, which must stay what they are.
const GUARD: usize = 4096;
const POISON: u8 = 0xff;

/// A batch in device memory, ready to be made.
struct Staged {
    device: Device,
    augmenter: Augmenter,
    descriptors: Vec<Descriptor>,
    batch: Batch,
    /// Guarded: batch and scratch memory.
    result: Guarded,
    scratch: Guarded,
    /// What the batch points into.
    _inputs: Vec<DeviceBuffer>,
}

/// A poisoned buffer with poison around it.
struct Guarded {
    buffer: DeviceBuffer,
    bytes: usize,
}

impl Guarded {
    fn new(device: &Device, bytes: usize) -> Guarded {
        let buffer = device.alloc(bytes + 2 * GUARD).unwrap();
        device.stream().fill_bytes(&buffer, 0, bytes + 2 * GUARD, POISON).unwrap();
        Guarded { buffer, bytes }
    }

    fn address(&self) -> u64 {
        self.buffer.ptr() + GUARD as u64
    }

    /// The contents; fails if something was written around them.
    fn contents(&self, device: &Device) -> Vec<u8> {
        let mut all = vec![0; self.bytes + 2 * GUARD];
        device.stream().download(&self.buffer, 0, &mut all).unwrap();
        let around = [&all[..GUARD], &all[GUARD + self.bytes..]].concat();
        assert!(around.iter().all(|byte| *byte == POISON), "something was written beyond a buffer");
        all[GUARD..GUARD + self.bytes].to_vec()
    }
}

/// Image `i` goes to place `places - 1 - i`; the rest is blank.
fn stage(output: &Output, canvas: Size, places: u32, images: &[(Drawn, Stored)]) -> Staged {
    let device = Device::new(0).unwrap();
    let augmenter = Augmenter::new(&device, *output).unwrap();
    let mut inputs = Vec::new();
    let mut upload = |bytes: &[u8]| {
        let buffer = device.alloc(bytes.len()).unwrap();
        device.stream().upload(&buffer, 0, bytes).unwrap();
        inputs.push(buffer.clone());
        buffer.ptr()
    };
    let mut descriptors: Vec<Descriptor> = (0..places - images.len() as u32).map(Descriptor::blank).collect();
    for ((drawn, stored), place) in images.iter().zip((0..places).rev()) {
        let address = upload(&stored.samples(0).0);
        let (_, source) = stored.samples(address);
        descriptors.push(Descriptor::new(drawn, &source, place).unwrap());
    }
    let scratch = Guarded::new(&device, arrange_scratch(&mut descriptors).unwrap());
    let result = Guarded::new(&device, augmenter.batch_bytes(places, canvas).unwrap());
    let batch = Batch {
        descriptors: upload(bytemuck::cast_slice(&descriptors)),
        images: result.address(),
        places,
        canvas,
        scratch: scratch.address(),
    };
    Staged { device, augmenter, descriptors, batch, result, scratch, _inputs: inputs }
}

impl Staged {
    fn launch(&self) {
        // SAFETY: the buffers live until the stream is done, the descriptors were copied after their scratch memory was
        // arranged, and scratch memory and batch have the bytes that were asked for.
        unsafe { self.augmenter.launch(self.device.stream(), &self.batch, &self.descriptors).unwrap() };
    }
}

/// The batch, `[places, height, width, channels]` of the canvas. What is written beyond it fails; what is not written
/// within it is no number.
pub(crate) fn run(output: &Output, canvas: Size, places: u32, images: &[(Drawn, Stored)]) -> Vec<f32> {
    let staged = stage(output, canvas, places, images);
    staged.launch();
    staged.device.stream().synchronize().unwrap();
    staged.scratch.contents(&staged.device);
    numbers(&staged.result.contents(&staged.device), output.dtype)
}

/// Elements as single precision.
fn numbers(bytes: &[u8], dtype: Element) -> Vec<f32> {
    let halves = bytes.as_chunks().0.iter().map(|bytes| u16::from_ne_bytes(*bytes));
    match dtype {
        Element::F16 => halves.map(|bits| f16::from_bits(bits).to_f32()).collect(),
        Element::Bf16 => halves.map(|bits| bf16::from_bits(bits).to_f32()).collect(),
        Element::F32 => bytes.as_chunks().0.iter().map(|bytes| f32::from_ne_bytes(*bytes)).collect(),
    }
}
