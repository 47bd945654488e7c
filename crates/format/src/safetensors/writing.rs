//! From a network to a file.

use std::collections::HashMap;
use std::path::Path;

use ocelli_core::nn::Params;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::layout::{extents_in_file, name_in_file, to_file};
use crate::whole_file::write_whole;
use crate::{Error, Result};

/// Writes all parameters and buffers below a path to a file, as `F32`, and waits until they are on the disk. The file takes
/// its name when it is whole: one that was there before is replaced then, and stays as it is where anything fails. The same
/// values make the same bytes.
///
/// # Errors
/// [`Error::Io`] where the file cannot be written, [`Error::Core`] where the device fails to deliver the values,
/// [`Error::Unwritable`] for more tensors than the head of a file may list, which are about a million.
pub fn save(path: &Path, params: &Params) -> Result<()> {
    let unwritable = |source| Error::Unwritable { path: path.into(), source };
    let states = params.all();
    let mut bytes: Vec<Vec<u8>> = Vec::with_capacity(states.len());
    for state in &states {
        let values = to_file(state.to_vec()?, state.ty().shape);
        bytes.push(values.into_iter().flat_map(f32::to_le_bytes).collect());
    }
    let mut tensors = Vec::with_capacity(states.len());
    for (state, bytes) in states.iter().zip(&bytes) {
        let tensor = TensorView::new(Dtype::F32, extents_in_file(state.ty().shape), bytes);
        tensors.push((name_in_file(params, state), tensor.map_err(unwritable)?));
    }
    // Some of Python's libraries refuse a file that does not say whose names and layouts it has.
    let about = HashMap::from([("format".to_string(), "pt".to_string())]);
    let file = safetensors::serialize(tensors, Some(about)).map_err(unwritable)?;
    write_whole(path, &file)
}
