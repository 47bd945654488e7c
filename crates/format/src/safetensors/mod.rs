/*!
Weights as safetensors: the format in which most pretrained networks are published, and which PyTorch reads and writes
through Python's package of that name.

A file holds tensors by name. Names and layouts are PyTorch's: filters lie as `[out, in, rows, columns]` in a file and as
`[out, rows, columns, in]` in Ocelli (of a transposed convolution, `in` and `out` change places in both), and are rearranged
on the way; all other extents are equal. Below a path of parameters, such as `&params / "backbone"`, the names in the file
are those from there on: `conv1.weight`, not `backbone.conv1.weight`.

From PyTorch to Ocelli, and back:

```python
from safetensors.torch import load_file, save_file
save_file(model.state_dict(), "resnet50.safetensors")
model.load_state_dict(load_file("trained.safetensors"), strict=False)   # num_batches_tracked is not in the file
```

Numbers are read as `F32`, `F16` or `BF16`, and written as `F32`, as which Ocelli keeps them.

Source: the format's description, <https://github.com/huggingface/safetensors#format>: the length of the head in 8 bytes,
little end first; the head, JSON, which lists the tensors; their values, little end first.
*/

mod layout;
mod reading;
mod writing;

use std::path::Path;

use ocelli_core::nn::Params;

pub use reading::Weights;
pub use writing::save;

use crate::Result;

/// Sets all parameters and buffers below a path to the values in a file. Nothing is changed unless all of the file has been
/// read and fits. The number of batches that PyTorch's normalisations count (`num_batches_tracked`) may be in the file; it
/// is left out.
///
/// # Errors
/// [`Error::Misfits`](crate::Error::Misfits), which names every tensor that is missing, that is in the file alone, or whose
/// extents or type are wrong; [`Error::Malformed`](crate::Error::Malformed) and [`Error::Head`](crate::Error::Head) for a
/// damaged file; [`Error::Io`](crate::Error::Io); [`Error::Core`](crate::Error::Core) where the device fails to take the
/// values, after which some of them may have been set.
pub fn load(path: &Path, params: &Params) -> Result<()> {
    Weights::open(path)?.load(params)
}
