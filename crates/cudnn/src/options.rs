use std::fmt;

use serde::{Deserialize, Serialize};

/// What an engine must keep to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PlanOptions {
    /// Only engines that give the same bits in every run.
    pub deterministic: bool,
    /// Whether tensor cores may be used. Without them f32 is computed in f32 throughout: no TF32, and no Fourier or
    /// Winograd transforms, whose rounding is larger than a plain sum's. fp16 and bf16 have hardly an engine left.
    pub tensor_cores: bool,
    /// The largest workspace, in bytes.
    pub workspace_limit: usize,
    /// Whether engines may be used whose kernel is compiled when the plan is first made, which takes about a second.
    pub allow_runtime_compiled: bool,
}

impl Default for PlanOptions {
    fn default() -> Self {
        PlanOptions {
            deterministic: false,
            tensor_cores: true,
            workspace_limit: 1 << 30,
            allow_runtime_compiled: true,
        }
    }
}

impl fmt::Display for PlanOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "deterministic {}, tensor cores {}, workspace up to {} bytes, runtime-compiled {}",
            self.deterministic, self.tensor_cores, self.workspace_limit, self.allow_runtime_compiled
        )
    }
}
