//! A graph as text, for error reports, snapshots and `--explain`.

use std::fmt;

use super::{Graph, Value};

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.output {
            0 => write!(f, "%{}", self.node),
            output => write!(f, "%{}.{output}", self.node),
        }
    }
}

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (id, node) in self.nodes.iter().enumerate() {
            write!(f, "%{id} = {:?}(", node.op)?;
            for (i, input) in node.inputs.iter().enumerate() {
                write!(f, "{}{input}", if i > 0 { ", " } else { "" })?;
            }
            f.write_str(") -> ")?;
            for (i, output) in node.outputs.iter().enumerate() {
                write!(f, "{}{output}", if i > 0 { ", " } else { "" })?;
            }
            writeln!(f)?;
        }
        for root in &self.roots {
            writeln!(f, "root {root}")?;
        }
        for update in &self.updates {
            writeln!(f, "state {} <- {}", update.state, update.value)?;
        }
        Ok(())
    }
}
