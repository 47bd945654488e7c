//! From a file to a network.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use ocelli_core::nn::Params;
use ocelli_core::{Shape, State};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use super::layout::{extents_in_file, from_file, name_in_file};
use crate::{Error, Misfit, Result};

/// Bytes that say how long the head is.
const LENGTH: u64 = 8;

/// The longest head that is read; the format's own limit.
const LONGEST_HEAD: u64 = 100_000_000;

/// What PyTorch's batch normalisations count and nothing computes with.
const BATCHES: &str = "num_batches_tracked";

/// A file of weights whose list of tensors has been read, so that a network can be built for it.
///
/// ```no_run
/// use ocelli_core::Device;
/// use ocelli_core::nn::{Linear, Params};
/// use ocelli_format::safetensors::Weights;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut weights = Weights::open("classifier.safetensors".as_ref())?;
/// let Some(&[classes, features]) = weights.extents("fc.weight") else { return Err("no classifier".into()) };
/// let params = Params::zeroed(&Device::new(0)?);
/// let fc = Linear::new(&params / "fc", features, classes)?;
/// weights.load(&params)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Weights {
    path: PathBuf,
    file: File,
    tensors: BTreeMap<String, TensorInfo>,
    /// Where in the file the values begin, from which offsets count.
    start: u64,
}

impl Weights {
    /// Opens a file and reads the list of its tensors. Their values stay where they are.
    ///
    /// # Errors
    /// [`Error::Io`] where the file cannot be read, [`Error::Malformed`] and [`Error::Head`] where it is damaged or none of
    /// this format.
    pub fn open(path: &Path) -> Result<Weights> {
        let unreadable = |source| Error::Io { action: "read", path: path.into(), source };
        let malformed = |what: String| Err(Error::Malformed { path: path.into(), what });
        let mut file = File::open(path).map_err(unreadable)?;
        let size = file.metadata().map_err(unreadable)?.len();
        let Some(after_length) = size.checked_sub(LENGTH) else {
            return malformed(format!("it has {size} bytes, and {LENGTH} say how long its head is"));
        };
        let mut length = [0; LENGTH as usize];
        file.read_exact(&mut length).map_err(unreadable)?;
        let length = u64::from_le_bytes(length);
        if length > after_length.min(LONGEST_HEAD) {
            return malformed(format!(
                "its head is said to have {length} bytes, of {after_length} that follow"
            ));
        }
        // Grows with what is there, whatever was promised.
        let mut head = Vec::new();
        (&file).take(length).read_to_end(&mut head).map_err(unreadable)?;
        // The list has been checked when it is read: ranges follow each other without gaps, and are as long as types and
        // extents say.
        let list: Metadata =
            serde_json::from_slice(&head).map_err(|source| Error::Head { path: path.into(), source })?;
        let (listed, found) = (list.data_len() as u64, after_length - length);
        if listed != found {
            return malformed(format!("its tensors take {listed} bytes, and it has {found} after its head"));
        }
        let tensors = list.tensors().into_iter().map(|(name, info)| (name, info.clone())).collect();
        Ok(Weights { path: path.into(), file, tensors, start: LENGTH + length })
    }

    /// The names of the tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The extents of a tensor, `[out, in, rows, columns]` for filters; `None` when there is none of this name.
    pub fn extents(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|info| &*info.shape)
    }

    /// Sets all parameters and buffers below a path, as [`load`](super::load) does.
    ///
    /// # Errors
    /// As [`load`](super::load).
    pub fn load(&mut self, params: &Params) -> Result<()> {
        let states = params.all();
        let wanted: BTreeMap<&str, &State> =
            states.iter().map(|state| (name_in_file(params, state), state)).collect();
        let misfits = self.misfits(&wanted);
        if !misfits.is_empty() {
            return Err(Error::Misfits { path: self.path.clone(), misfits });
        }
        let mut values = Vec::with_capacity(wanted.len());
        for (name, state) in &wanted {
            values.push(self.read(name, state.ty().shape)?);
        }
        for (state, values) in wanted.values().zip(&values) {
            state.set(values)?;
        }
        Ok(())
    }

    /// All that these states and the file do not have in common, sorted by name.
    fn misfits(&self, wanted: &BTreeMap<&str, &State>) -> Vec<Misfit> {
        let mut misfits = Vec::new();
        for (&name, state) in wanted {
            let (name, extents) = (name.to_string(), extents_in_file(state.ty().shape));
            match self.tensors.get(&name) {
                None => misfits.push(Misfit::Missing { name, extents }),
                Some(info) => {
                    if info.shape != extents {
                        let (name, found) = (name.clone(), info.shape.clone());
                        misfits.push(Misfit::Extents { name, expected: extents, found });
                    }
                    if !matches!(info.dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16) {
                        misfits.push(Misfit::Type { name, found: info.dtype.to_string() });
                    }
                }
            }
        }
        let is_surplus = |name: &str| !wanted.contains_key(name) && name.rsplit('.').next() != Some(BATCHES);
        for (name, info) in self.tensors.iter().filter(|(name, _)| is_surplus(name)) {
            misfits.push(Misfit::Surplus { name: name.clone(), extents: info.shape.clone() });
        }
        misfits.sort_by(|a, b| a.name().cmp(b.name()));
        misfits
    }

    /// The values of a tensor that fits, in Ocelli's order.
    fn read(&mut self, name: &str, shape: Shape) -> Result<Vec<f32>> {
        let Some(info) = self.tensors.get(name) else {
            let missing = Misfit::Missing { name: name.into(), extents: extents_in_file(shape) };
            return Err(Error::Misfits { path: self.path.clone(), misfits: vec![missing] });
        };
        // The extents fit, so the range is as long as the network's own tensor, and lies in the file.
        let (start, end) = info.data_offsets;
        let mut bytes = vec![0; end - start];
        let place = SeekFrom::Start(self.start + start as u64);
        let read = self.file.seek(place).and_then(|_| self.file.read_exact(&mut bytes));
        read.map_err(|source| Error::Io { action: "read", path: self.path.clone(), source })?;
        Ok(from_file(numbers(info.dtype, &bytes), shape))
    }
}

/// The numbers that these bytes are in one of the three types that can be read; they lie little end first.
fn numbers(dtype: Dtype, bytes: &[u8]) -> Vec<f32> {
    let halves = || bytes.as_chunks().0.iter().copied();
    match dtype {
        Dtype::F16 => halves().map(|bytes| f16::from_le_bytes(bytes).to_f32()).collect(),
        Dtype::BF16 => halves().map(|bytes| bf16::from_le_bytes(bytes).to_f32()).collect(),
        _ => bytes.as_chunks().0.iter().copied().map(f32::from_le_bytes).collect(),
    }
}
