//! Maps: pointwise work over one iteration space, with sums over parts of it, as one kernel.
//!
//! Three forms. *Flat*: nothing depends on the channel, so the space is one long vector with a scalar tail. *Rows*: a
//! thread owns a group of `V` channels and walks down the rows, so that values for each channel, and whatever follows
//! from them alone, are made once before the loop. *Segments*: sums over the channels too; a block walks along the
//! elements of one result. Sums are made in `f32`: in each thread, across the block, and, when several blocks share a
//! result, by the last block to finish over all blocks' parts in their order.

mod body;
mod form;

use super::prelude::{c_type, finish};
use super::{Access, Kernel, MapSpec, Scratch, Target};
use crate::error::{Error, Result};
use crate::types::DType;
use body::Body;
use form::{Form, Layout};

/// Threads of a block, at most.
const THREADS: usize = 256;
/// Blocks for each multiprocessor, at most.
const BLOCKS_PER_MULTIPROCESSOR: usize = 8;
/// The same where blocks make sums: the last one adds up what all have found, so there must not be too many.
const SUMMING_BLOCKS: usize = 2;
/// Groups of channels that a summing block has side by side, at most: a warp's width.
const SUMMING_ACROSS: usize = 32;

pub(super) fn generate(spec: &MapSpec, target: &Target) -> Result<Kernel> {
    check(spec)?;
    let layout = Layout::of(spec, target);
    let parameters = parameters(spec, &layout);
    let kernel = match layout.form {
        Form::Flat => flat(spec, &layout, &parameters),
        Form::Rows => rows(spec, &layout, &parameters),
        Form::Segments => segments(spec, &layout, &parameters),
    };
    let (name, source) = finish(&describe(spec, &layout), &kernel);
    let sums = spec.sums.len();
    let scratch = if sums > 0 && layout.slices > 1 {
        let results = layout.outer * if layout.form == Form::Rows { layout.channels } else { 1 };
        vec![
            Scratch::Partial(4 * sums * results * layout.slices),
            Scratch::Counters(layout.outer * layout.tiles),
        ]
    } else {
        Vec::new()
    };
    Ok(Kernel {
        name,
        source,
        grid: [(layout.outer * layout.slices) as u32, layout.tiles as u32, 1],
        block: [layout.block[0] as u32, layout.block[1] as u32, 1],
        shared_bytes: 0,
        scratch,
        constants: Vec::new(),
        pointer_table: false,
        header: uses_header(spec),
    })
}

fn check(spec: &MapSpec) -> Result<()> {
    let fail = |what: &str| Err(Error::Plan { pass: "codegen", what: what.into() });
    if spec.writes.is_empty() && spec.sums.is_empty() {
        return fail("a map without results");
    }
    if spec.sums.iter().any(|sum| sum.keep != spec.sums[0].keep) {
        return fail("sums over different extents in one map");
    }
    Ok(())
}

fn uses_header(spec: &MapSpec) -> bool {
    spec.body.iter().any(|instruction| matches!(instruction, super::Instruction::Dropout(..)))
}

/// What the kernel does, for its name.
fn describe(spec: &MapSpec, layout: &Layout) -> String {
    let mut words = vec![if spec.sums.is_empty() { "map" } else { "sum" }.to_string()];
    let mut operations: Vec<&str> = spec.body.iter().filter_map(body::word).collect();
    operations.dedup();
    words.extend(operations.into_iter().take(6).map(str::to_string));
    let dtype = spec.writes.first().map(|write| write.dtype).or(spec.sums.first().map(|sum| sum.dtype));
    words.push(dtype.unwrap_or(DType::F32).name().to_string());
    words.push(format!("c{}_v{}", spec.space[3], layout.width));
    words.join("_")
}

/// The kernel's parameters, in the order that [`Kernel`] states.
fn parameters(spec: &MapSpec, layout: &Layout) -> String {
    let mut list = Vec::new();
    for (k, input) in spec.inputs.iter().enumerate() {
        list.push(format!("const {}* __restrict__ in{k}", c_type(input.dtype)));
    }
    for (k, write) in spec.writes.iter().enumerate() {
        list.push(format!("{}* __restrict__ out{k}", c_type(write.dtype)));
    }
    for (k, sum) in spec.sums.iter().enumerate() {
        list.push(format!("{}* __restrict__ sum{k}", c_type(sum.dtype)));
    }
    if !spec.sums.is_empty() && layout.slices > 1 {
        list.push("float* partials".into());
        list.push("unsigned int* counters".into());
    }
    if uses_header(spec) {
        list.push("const Header* header".into());
    }
    list.join(", ")
}

fn signature(parameters: &str, layout: &Layout) -> String {
    let threads = layout.block[0] * layout.block[1];
    let blocks = if layout.slices_share { ", 2" } else { "" };
    format!("extern \"C\" __global__ void __launch_bounds__({threads}{blocks}) KERNEL({parameters})")
}

/// One long vector, then its tail element by element.
fn flat(spec: &MapSpec, layout: &Layout, parameters: &str) -> String {
    let body = Body::new(spec, layout);
    let names: Vec<&str> = parameters.split(", ").filter_map(|p| p.rsplit([' ', '*']).next()).collect();
    let total: usize = spec.space.iter().product();
    let (index, width) = (layout.index_type(), layout.width);
    let vectors = total / width;
    let mut source = format!(
        "template <int V> __device__ __forceinline__ void element({index} i, {parameters}) {{\n{}{}}}\n\n{} {{\n",
        body.hoisted,
        body.each,
        signature(parameters, layout),
    );
    source.push_str(&format!(
        "    const {index} first = ({index})blockIdx.x * blockDim.x + threadIdx.x, stride = ({index})gridDim.x * blockDim.x;\n    for ({index} k = first; k < {vectors}u; k += stride) element<{width}>({vector} * {width}u, {});\n",
        names.join(", "),
        vector = if spec.backwards { format!("({}u - k)", vectors.saturating_sub(1)) } else { "k".into() },
    ));
    if !total.is_multiple_of(width) {
        source.push_str(&format!(
            "    if (first < {}u) element<1>({}u + first, {});\n",
            total % width,
            vectors * width,
            names.join(", ")
        ));
    }
    source.push_str("}\n");
    source
}

/// A thread owns `V` channels and walks down the rows.
fn rows(spec: &MapSpec, layout: &Layout, parameters: &str) -> String {
    let body = Body::new(spec, layout);
    let Layout { width, channels, outer, reduced, slices, block: [across, down], .. } = *layout;
    let index = layout.index_type();
    let sums = spec.sums.len();
    let mut source = format!("{} {{\n    constexpr int V = {width};\n", signature(parameters, layout));
    source.push_str(&format!(
        "    const unsigned int c = (blockIdx.y * {across}u + threadIdx.x) * {width}u;\n    const unsigned int slice = blockIdx.x % {slices}u, outer = blockIdx.x / {slices}u;\n    const bool active = c < {channels}u;\n"
    ));
    for k in 0..sums {
        source.push_str(&format!("    float acc{k}[V];\n    EACH acc{k}[j] = 0.0f;\n"));
    }
    // Sums have few threads, so each has the more loads in flight.
    let tensors = spec.inputs.iter().filter(|input| input.access == Access::Full).count();
    let unroll = match (layout.tile, sums > 0 && tensors <= 2) {
        (Some(_), _) => 1,
        (None, true) => 8,
        (None, false) => 4,
    };
    source.push_str("    if (active) {\n");
    source.push_str(&body.hoisted);
    let [_, h, w, _] = spec.space;
    let [down_tile, across_tile] = layout.tile.unwrap_or([1, 1]);
    let steps = reduced / (down_tile * across_tile);
    let step = if spec.backwards { format!("({}u - r)", steps - 1) } else { "r".into() };
    source.push_str(&format!(
        "#pragma unroll {unroll}\n        for ({index} r = slice * {down}u + threadIdx.y; r < {steps}u; r += {}u) {{\n",
        slices * down,
    ));
    match layout.tile {
        None => source.push_str(&format!("            const {index} row = {};\n", layout.row("outer", &step))),
        Some([sh, sw]) => source.push_str(&format!(
            "            const {index} tile = {step}, image = tile / {}u;
            const int tile_h = (int)(tile / {}u % {}u), tile_w = (int)(tile % {}u);
#pragma unroll
            for (int e = 0; e < {sh} * {sw}; ++e) {{
            const {index} row = (image * {h}u + tile_h * {sh} + e / {sw}) * {w}u + tile_w * {sw} + e % {sw};\n",
            h / sh * (w / sw),
            w / sw,
            h / sh,
            w / sw,
        )),
    }
    source.push_str(&format!("            const {index} i = row * {channels}u + c;\n"));
    source.push_str(&body.each);
    source.push_str(if layout.tile.is_some() {
        "        }\n        }\n    }\n"
    } else {
        "        }\n    }\n"
    });
    if sums > 0 {
        source.push_str(&format!("    __shared__ float shared[{width}][{down}][{across}];\n"));
        for k in 0..sums {
            let result = if slices == 1 {
                format!(
                    "sum{k}[outer * {channels}u + c + j] = from_float<{}>(total);",
                    c_type(spec.sums[k].dtype)
                )
            } else {
                format!(
                    "partials[(({k}u * {outer}u + outer) * {slices}u + slice) * {channels}u + c + j] = total;"
                )
            };
            source.push_str(&fold_rows(&format!("acc{k}"), down, &result));
        }
        if slices > 1 {
            source.push_str(&format!(
                "    if (!arrives_last(counters + outer * {}u + blockIdx.y, {slices}u)) return;\n",
                layout.tiles
            ));
            for k in 0..sums {
                source.push_str(&format!(
                    "    EACH acc{k}[j] = 0.0f;\n    if (active) {{\n#pragma unroll 8\n        for (unsigned int s = threadIdx.y; s < {slices}u; s += {down}u) {{\n            const Vec<float, V> part = load_cached<V>(partials + (({k}u * {outer}u + outer) * {slices}u + s) * {channels}u + c);\n            EACH acc{k}[j] += part.v[j];\n        }}\n    }}\n"
                ));
                let result = format!(
                    "sum{k}[outer * {channels}u + c + j] = from_float<{}>(total);",
                    c_type(spec.sums[k].dtype)
                );
                source.push_str(&fold_rows(&format!("acc{k}"), down, &result));
            }
        }
    }
    source.push_str("}\n");
    source
}

/// Adds up what the rows of threads hold, pair by pair in a fixed order, and hands each channel's `total` to `result`.
fn fold_rows(accumulator: &str, down: usize, result: &str) -> String {
    format!(
        "    __syncthreads();\n    EACH shared[j][threadIdx.y][threadIdx.x] = {accumulator}[j];\n    for (unsigned int n = {down}u; n > 1; n = (n + 1) / 2) {{\n        const unsigned int half = (n + 1) / 2;\n        __syncthreads();\n        if (threadIdx.y + half < n) EACH shared[j][threadIdx.y][threadIdx.x] += shared[j][threadIdx.y + half][threadIdx.x];\n    }}\n    if (threadIdx.y == 0 && active) EACH {{\n        const float total = shared[j][0][threadIdx.x];\n        {result}\n    }}\n"
    )
}

/// A block walks along all elements of one result.
fn segments(spec: &MapSpec, layout: &Layout, parameters: &str) -> String {
    let body = Body::new(spec, layout);
    let Layout { width, channels, outer, reduced, slices, block: [threads, _], .. } = *layout;
    let index = layout.index_type();
    let sums = spec.sums.len();
    let groups = channels / width;
    let mut source = format!(
        "{} {{\n    constexpr int V = {width};\n    __shared__ float shared[33];\n    const unsigned int slice = blockIdx.x % {slices}u, outer = blockIdx.x / {slices}u;\n",
        signature(parameters, layout)
    );
    for k in 0..sums {
        source.push_str(&format!("    float acc{k}[V];\n    EACH acc{k}[j] = 0.0f;\n"));
    }
    source.push_str(&format!(
        "    for ({index} g = slice * {threads}u + threadIdx.x; g < {}u; g += {}u) {{\n        const {index} r = g / {groups}u;\n        const unsigned int c = (unsigned int)(g % {groups}u) * {width}u;\n        const {index} row = {};\n        const {index} i = row * {channels}u + c;\n        (void)i; (void)c;\n",
        reduced * groups,
        slices * threads,
        layout.row("outer", "r"),
    ));
    source.push_str(&body.hoisted);
    source.push_str(&body.each);
    source.push_str("    }\n");
    for k in 0..sums {
        source.push_str(&format!(
            "    float total{k} = 0.0f;\n    EACH total{k} += acc{k}[j];\n    total{k} = block_sum(total{k}, shared);\n"
        ));
    }
    let store = |k: usize| {
        format!(
            "if (threadIdx.x == 0) sum{k}[outer] = from_float<{}>(total{k});\n",
            c_type(spec.sums[k].dtype)
        )
    };
    if slices == 1 {
        for k in 0..sums {
            source.push_str(&format!("    {}", store(k)));
        }
    } else {
        for k in 0..sums {
            source.push_str(&format!(
                "    if (threadIdx.x == 0) partials[({k}u * {outer}u + outer) * {slices}u + slice] = total{k};\n"
            ));
        }
        source.push_str(&format!("    if (!arrives_last(counters + outer, {slices}u)) return;\n"));
        for k in 0..sums {
            source.push_str(&format!(
                "    total{k} = 0.0f;\n    for (unsigned int s = threadIdx.x; s < {slices}u; s += {threads}u) total{k} += __ldcg(partials + ({k}u * {outer}u + outer) * {slices}u + s);\n    total{k} = block_sum(total{k}, shared);\n    {}",
                store(k)
            ));
        }
    }
    source.push_str("}\n");
    source
}

/// Whether an access reads the same element for every row: nothing, or only the channel, decides.
fn by_channel(access: Access) -> bool {
    matches!(access, Access::Broadcast([false, false, false, _]))
}
