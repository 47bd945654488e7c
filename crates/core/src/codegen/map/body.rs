//! A map's instructions as lines of CUDA C: what is done once for a group of channels, and what for each row.

use super::by_channel;
use super::form::{Form, Layout};
use crate::codegen::prelude::c_type;
use crate::codegen::{Access, Instruction, MapSpec};
use crate::ops::pointwise::literal;
use crate::types::DType;

/// The lines of a kernel. They use `V`, the element's index `i`, and, where the form has them, its `row` and channel `c`.
pub(super) struct Body {
    /// What does not depend on the row.
    pub(super) hoisted: String,
    /// What is done for each vector, stores and accumulations included.
    pub(super) each: String,
}

/// An instruction in a kernel's name.
pub(super) fn word(instruction: &Instruction) -> Option<&'static str> {
    match instruction {
        Instruction::Load(_) | Instruction::Constant(_) => None,
        Instruction::Unary(unary, _) => Some(unary.name()),
        Instruction::Binary(binary, ..) => Some(binary.name()),
        Instruction::Round(..) => Some("round"),
        Instruction::Dropout(..) => Some("dropout"),
    }
}

impl Body {
    pub(super) fn new(spec: &MapSpec, layout: &Layout) -> Body {
        let mut body = Body { hoisted: String::new(), each: String::new() };
        let mut fixed = vec![false; spec.body.len()];
        for (k, instruction) in spec.body.iter().enumerate() {
            // In the rows form a channel's values are the same for all rows that the thread walks down.
            fixed[k] = layout.form == Form::Rows
                && match *instruction {
                    Instruction::Load(input) => by_channel(spec.inputs[input as usize].access),
                    Instruction::Constant(_) => true,
                    Instruction::Unary(_, x) | Instruction::Round(_, x) => fixed[x as usize],
                    Instruction::Binary(_, a, b) => fixed[a as usize] && fixed[b as usize],
                    Instruction::Dropout(..) => false,
                };
            let lines = line(spec, layout, k, instruction);
            let target = if fixed[k] { &mut body.hoisted } else { &mut body.each };
            target.push_str(&lines);
        }
        for (k, write) in spec.writes.iter().enumerate() {
            body.each.push_str(&store(spec, k, write.value as usize, write.dtype));
        }
        for (k, sum) in spec.sums.iter().enumerate() {
            body.each.push_str(&format!("        EACH acc{k}[j] += t{}[j];\n", sum.value));
        }
        body
    }
}

/// The lines of one instruction.
fn line(spec: &MapSpec, layout: &Layout, k: usize, instruction: &Instruction) -> String {
    let value = match *instruction {
        Instruction::Load(input) => return load(spec, layout, k, input as usize),
        Instruction::Constant(value) => literal(value),
        Instruction::Unary(unary, x) => unary.source(&format!("t{x}[j]")),
        Instruction::Binary(binary, a, b) => binary.source(&format!("t{a}[j]"), &format!("t{b}[j]")),
        Instruction::Round(dtype, x) => format!("rounded<{}>(t{x}[j])", c_type(dtype)),
        Instruction::Dropout(dropout, x) => {
            let (threshold, scale) = (dropout.threshold(), literal(crate::types::Real(dropout.scale())));
            return format!(
                "        float m{k}[V], t{k}[V];\n        dropout_mask<V>(m{k}, header, i, {}u, {threshold}u, {scale});\n        EACH t{k}[j] = m{k}[j] == 0.0f ? 0.0f : t{x}[j] * m{k}[j]; // dropout\n",
                dropout.ordinal
            );
        }
    };
    let comment = word(instruction).map_or(String::new(), |word| format!(" // {word}"));
    format!("        float t{k}[V]; EACH t{k}[j] = {value};{comment}\n")
}

/// Loads the elements of an input that belong to the vector.
fn load(spec: &MapSpec, layout: &Layout, k: usize, input: usize) -> String {
    let ty = c_type(spec.inputs[input].dtype);
    let convert = format!("        float t{k}[V]; EACH t{k}[j] = to_float(q{k}.v[j]);\n");
    let vector =
        |address: String| format!("        const Vec<{ty}, V> q{k} = load<{ty}, V>({address});\n{convert}");
    let single = |address: String| {
        format!(
            "        const float s{k} = to_float(in{input}[{address}]);\n        float t{k}[V]; EACH t{k}[j] = s{k};\n"
        )
    };
    let index = layout.index_type();
    match spec.inputs[input].access {
        Access::Full => vector(format!("in{input} + i")),
        Access::Broadcast([false, false, false, false]) => single("0".into()),
        Access::Broadcast([false, false, false, true]) => vector(format!("in{input} + c")),
        Access::Broadcast(mask) => {
            let row = broadcast_row(spec.space, mask);
            if mask[3] {
                vector(format!("in{input} + ({row}) * {}u + c", spec.space[3]))
            } else {
                single(row)
            }
        }
        Access::ChannelSlice { start, channels } => {
            vector(format!("in{input} + row * {channels}u + {start}u + c"))
        }
        Access::ChannelPad { before, channels } => {
            let test = if before == 0 {
                format!("c < {channels}u")
            } else {
                format!("c >= {before}u && c < {}u", before + channels)
            };
            format!(
                "        float t{k}[V]; EACH t{k}[j] = 0.0f;\n        if ({test}) {{\n            const Vec<{ty}, V> q{k} = load<{ty}, V>(in{input} + row * {channels}u + c - {before}u);\n            EACH t{k}[j] = to_float(q{k}.v[j]);\n        }}\n"
            )
        }
        Access::SpaceToDepth { blocks, input: [h, w, channels] } => {
            let [_, rows, columns, _] = spec.space;
            format!(
                "        float t{k}[V]; EACH t{k}[j] = 0.0f;
        {{
            const int h = (int)(row / {columns}u % {rows}u) * {bh} + (int)(c / {channels}u) / {bw} - {top};
            const int w = (int)(row % {columns}u) * {bw} + (int)(c / {channels}u) % {bw} - {left};
            if (h >= 0 && h < {h} && w >= 0 && w < {w}) {{
                const Vec<{ty}, V> q = load<{ty}, V>(in{input} + ((row / {all}u * {h}u + h) * {w}u + w) * {channels}u + c % {channels}u);
                EACH t{k}[j] = to_float(q.v[j]);
            }}
        }}
",
                all = rows * columns,
                bh = blocks.block[0],
                bw = blocks.block[1],
                top = blocks.before[0],
                left = blocks.before[1],
            )
        }
        Access::DepthToSpace { blocks } => {
            let [_, rows, columns, channels] = spec.space;
            format!(
                "        float t{k}[V];
        {{
            const {index} h = row / {columns}u % {rows}u + {top}u, w = row % {columns}u + {left}u;
            const {index} at = (row / {all}u * {oh}u + h / {bh}u) * {ow}u + w / {bw}u;
            const Vec<{ty}, V> q = load<{ty}, V>(in{input} + (at * {area}u + h % {bh}u * {bw}u + w % {bw}u) * {channels}u + c);
            EACH t{k}[j] = to_float(q.v[j]);
        }}
",
                all = rows * columns,
                area = blocks.block[0] * blocks.block[1],
                oh = blocks.output[0],
                ow = blocks.output[1],
                bh = blocks.block[0],
                bw = blocks.block[1],
                top = blocks.before[0],
                left = blocks.before[1],
            )
        }
        Access::ChannelShuffle { groups } => {
            let channels = spec.space[3];
            format!(
                "        Vec<{ty}, V> q{k}; EACH {{ const unsigned int to = c + j; q{k}.v[j] = in{input}[row * {channels}u + to % {groups}u * {}u + to / {groups}u]; }}\n{convert}",
                channels / groups
            )
        }
        Access::Windows { windows, output: [p, q], places } => {
            let [_, h, w, channels] = spec.space;
            let crate::ops::pool::Windows { kernel, stride, padding, .. } = windows;
            let most = [0, 1].map(|axis| kernel[axis].div_ceil(stride[axis]));
            // The window of the pixel that lies furthest down and across, and where the pixel lies in it.
            let place = match layout.tile {
                Some([sh, sw]) => format!(
                    "const int ph = tile_h + (e / {sw} + {top}) / {sh}, pw = tile_w + (e % {sw} + {left}) / {sw}, rh = (e / {sw} + {top}) % {sh}, rw = (e % {sw} + {left}) % {sw};
            const {index} n = image;",
                    top = padding[0],
                    left = padding[1],
                ),
                None => format!(
                    "const int h = (int)(row / {w}u % {h}u) + {top}, w = (int)(row % {w}u) + {left}, ph = h / {sh}, pw = w / {sw}, rh = h % {sh}, rw = w % {sw};
            const {index} n = row / {pixels}u;",
                    top = padding[0],
                    left = padding[1],
                    sh = stride[0],
                    sw = stride[1],
                    pixels = h * w,
                ),
            };
            format!(
                "        float t{k}[V]; EACH t{k}[j] = 0.0f;
        {{
            {place}
#pragma unroll
            for (int a = 0; a < {down} * {across}; ++a) {{
                const int p = ph - a / {across}, q = pw - a % {across}, r = rh + a / {across} * {sh}, s = rw + a % {across} * {sw};
                if (r >= {kh} || s >= {kw}) continue;
                const int tap = p >= 0 && p < {p} && q >= 0 && q < {q} ? r * {kw} + s : -1;
                const {index} at = ((n * {p}u + min(max(p, 0), {p} - 1)) * {q}u + min(max(q, 0), {q} - 1)) * {channels}u + c;
                const Vec<{ty}, V> value = load<{ty}, V>(in{input} + at);
                const Vec<u8, V> place = load<u8, V>(in{places} + at);
                EACH t{k}[j] += place.v[j] == tap ? to_float(value.v[j]) : 0.0f; // max_pool2d_grad
            }}
        }}
",
                down = most[0],
                across = most[1],
                sh = stride[0],
                sw = stride[1],
                kh = kernel[0],
                kw = kernel[1],
            )
        }
        Access::Rows { row_elements, rows, indices } => {
            let missing = if spec.inputs[input].dtype.is_float() {
                format!("from_float<{ty}>(not_a_number())")
            } else {
                "0".into()
            };
            format!(
                "        const int at{k} = in{indices}[i / {row_elements}u];\n        Vec<{ty}, V> q{k};\n        if ((unsigned int)at{k} < {rows}u) q{k} = load<{ty}, V>(in{input} + ({index})at{k} * {row_elements}u + i % {row_elements}u);\n        else EACH q{k}.v[j] = {missing};\n{convert}"
            )
        }
        Access::Indices => String::new(),
    }
}

/// The row of a broadcast input that belongs to `row` of the space.
fn broadcast_row(space: [usize; 4], mask: [bool; 4]) -> String {
    let mut terms = Vec::new();
    let (mut below, mut stride) = (1, 1);
    for axis in (0..3).rev() {
        if mask[axis] {
            let coordinate = match (below, axis) {
                (1, 0) => "row".to_string(),
                (1, _) => format!("row % {}u", space[axis]),
                (_, 0) => format!("row / {below}u"),
                _ => format!("row / {below}u % {}u", space[axis]),
            };
            terms.push(if stride == 1 { coordinate } else { format!("({coordinate}) * {stride}u") });
            stride *= space[axis];
        }
        below *= space[axis];
    }
    if terms.is_empty() { "0".into() } else { terms.join(" + ") }
}

/// Stores a register; what was loaded and is written with its own type is moved bit for bit.
fn store(spec: &MapSpec, k: usize, value: usize, dtype: DType) -> String {
    let ty = c_type(dtype);
    let moved = matches!(spec.body[value], Instruction::Load(input) if {
        let input = spec.inputs[input as usize];
        let is_vector = !matches!(
            input.access,
            Access::ChannelPad { .. }
                | Access::SpaceToDepth { .. }
                | Access::DepthToSpace { .. }
                | Access::Windows { .. }
                | Access::Broadcast(_)
        );
        input.dtype == dtype && is_vector
    });
    if moved {
        return format!("        store<{ty}, V>(out{k} + i, q{value});\n");
    }
    format!(
        "        Vec<{ty}, V> o{k}; EACH o{k}.v[j] = from_float<{ty}>(t{value}[j]);\n        store<{ty}, V>(out{k} + i, o{k});\n"
    )
}
