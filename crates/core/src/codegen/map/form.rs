//! How a map's space is divided among threads.

use super::{BLOCKS_PER_MULTIPROCESSOR, SUMMING_ACROSS, SUMMING_BLOCKS, THREADS, by_channel};
use crate::codegen::{Access, MapSpec, Target};

/// Which form a kernel has; see [`super`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Flat,
    Rows,
    Segments,
}

/// The division of a space among blocks and threads.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) form: Form,
    /// Elements that a thread handles at once.
    pub(super) width: usize,
    /// The last extent.
    pub(super) channels: usize,
    /// Results of a sum, channels aside; 1 without sums.
    pub(super) outer: usize,
    /// Rows that go into one result.
    pub(super) reduced: usize,
    /// Blocks that share a result's rows.
    pub(super) slices: usize,
    /// Blocks side by side along the channels.
    pub(super) tiles: usize,
    /// Threads across channels, and down rows.
    pub(super) block: [usize; 2],
    /// The rows are pixels, and a thread takes them in tiles of this extent, one stride of the windows that it gathers
    /// from: which window holds a pixel where is known when the kernel is compiled then.
    pub(super) tile: Option<[usize; 2]>,
    /// Blocks put sums together: few of them, with many loads in flight each.
    pub(super) slices_share: bool,
    space: [usize; 4],
    kept: [bool; 3],
    wide: bool,
}

impl Layout {
    pub(super) fn of(spec: &MapSpec, target: &Target) -> Layout {
        let space = spec.space;
        let channels = space[3];
        let rows: usize = space[..3].iter().product();
        let keep = spec.sums.first().map_or([false, false, false, true], |sum| sum.keep);
        let kept = [keep[0], keep[1], keep[2]];
        let extent =
            |wanted: bool| (0..3).filter(|&axis| kept[axis] == wanted).map(|axis| space[axis]).product();
        let form = match (spec.sums.is_empty(), keep[3]) {
            (true, _) if spec.inputs.iter().all(|input| is_flat(input.access)) => Form::Flat,
            // A single channel has no group of channels to own.
            (_, true) if spec.sums.is_empty() || channels > 1 => Form::Rows,
            _ => Form::Segments,
        };
        let outer: usize = if spec.sums.is_empty() { 1 } else { extent(true) };
        let reduced: usize = if spec.sums.is_empty() { rows } else { extent(false) };
        let width = width(spec, form, channels);
        let per_multiprocessor =
            if spec.sums.is_empty() { BLOCKS_PER_MULTIPROCESSOR } else { SUMMING_BLOCKS };
        let most = target.multiprocessors as usize * per_multiprocessor;
        let mut layout = Layout {
            form,
            width,
            channels,
            outer,
            reduced,
            slices: 1,
            tiles: 1,
            block: [THREADS, 1],
            tile: None,
            slices_share: false,
            space,
            kept,
            wide: is_wide(spec),
        };
        match form {
            Form::Flat => {
                let vectors = (rows * channels / width).max(1);
                layout.slices = vectors.div_ceil(THREADS).min(most);
            }
            Form::Rows => {
                layout.tile = tile(spec, outer);
                let reduced = reduced / layout.tile.map_or(1, |[down, across]| down * across);
                let groups = channels.div_ceil(width);
                // Blocks side by side share the work of putting sums together.
                let across = groups.min(if spec.sums.is_empty() { THREADS } else { SUMMING_ACROSS });
                layout.tiles = groups.div_ceil(across);
                layout.block = [across, (THREADS / across).clamp(1, reduced.max(1))];
                // A row for each thread; four, all in flight at once, where their sums must be put together again.
                let each = if spec.sums.is_empty() { 1 } else { 4 };
                let wanted = reduced.div_ceil(layout.block[1] * each);
                layout.slices = wanted.clamp(1, (most / (outer * layout.tiles)).max(1));
                layout.slices_share = !spec.sums.is_empty();
            }
            Form::Segments => {
                let groups = (reduced * channels / width).max(1);
                let threads = groups.next_multiple_of(32).min(THREADS);
                layout.block = [threads, 1];
                layout.slices = groups.div_ceil(threads * 4).clamp(1, (most / outer).max(1));
                layout.slices_share = true;
            }
        }
        layout
    }

    /// The type of indices.
    pub(super) fn index_type(&self) -> &'static str {
        if self.wide { "unsigned long long" } else { "unsigned int" }
    }

    /// The row of the space that is row `r` of result `o`.
    pub(super) fn row(&self, o: &str, r: &str) -> String {
        let kept_first = self.kept.windows(2).all(|pair| pair[0] || !pair[1]);
        if kept_first {
            return match (self.outer, self.reduced) {
                (1, _) => r.to_string(),
                (_, 1) => o.to_string(),
                (_, reduced) => format!("{o} * {reduced}u + {r}"),
            };
        }
        // The coordinates of the kept extents come from `o`, the others from `r`.
        let mut below = [1usize; 2];
        let mut terms = Vec::new();
        let mut stride = 1;
        for axis in (0..3).rev() {
            let kept = usize::from(self.kept[axis]);
            let number = if self.kept[axis] { o } else { r };
            terms.push(format!("({number} / {}u % {}u) * {stride}u", below[kept], self.space[axis]));
            below[kept] *= self.space[axis];
            stride *= self.space[axis];
        }
        terms.join(" + ")
    }
}

/// The stride of the windows that all gather from, where it divides the image and all pixels go into one result.
fn tile(spec: &MapSpec, outer: usize) -> Option<[usize; 2]> {
    let mut strides = spec.inputs.iter().filter_map(|input| match input.access {
        Access::Windows { windows, .. } => Some(windows.stride),
        _ => None,
    });
    let stride = strides.next()?;
    let divides = spec.space[1].is_multiple_of(stride[0]) && spec.space[2].is_multiple_of(stride[1]);
    (outer == 1 && divides && strides.all(|other| other == stride)).then_some(stride)
}

/// Whether an access needs neither row nor channel, only the element's index.
fn is_flat(access: Access) -> bool {
    matches!(access, Access::Full | Access::Rows { .. } | Access::Indices)
        || (by_channel(access) && access != Access::Broadcast([false, false, false, true]))
}

/// Whether some index does not fit 31 bits.
fn is_wide(spec: &MapSpec) -> bool {
    let rows: usize = spec.space[..3].iter().product();
    let largest = |access: Access| match access {
        Access::SpaceToDepth { input: [h, w, c], .. } => spec.space[0] * h * w * c,
        Access::DepthToSpace { blocks } => {
            let blocks_of_all: usize = blocks.block.iter().chain(&blocks.output).product();
            spec.space[0] * spec.space[3] * blocks_of_all
        }
        Access::ChannelSlice { channels, .. } | Access::ChannelPad { channels, .. } => rows * channels,
        Access::Rows { row_elements, rows, .. } => rows * row_elements,
        _ => 0,
    };
    let inputs = spec.inputs.iter().map(|input| largest(input.access)).max().unwrap_or(0);
    inputs.max(spec.space.iter().product()) >= 1 << 31
}

/// The largest vector that divides all that it must: 16 bytes of 16-bit elements, or of `f32` where there are no others.
fn width(spec: &MapSpec, form: Form, channels: usize) -> usize {
    let halves = spec.inputs.iter().any(|input| input.access == Access::Full && input.dtype.bytes() < 4)
        || spec.writes.iter().any(|write| write.dtype.bytes() < 4);
    let widest = if halves { 8 } else { 4 };
    let mut divisors = if form == Form::Flat { Vec::new() } else { vec![channels] };
    for input in &spec.inputs {
        match input.access {
            Access::ChannelSlice { start, channels } => divisors.extend([start, channels]),
            Access::ChannelPad { before, channels } => divisors.extend([before, channels]),
            Access::SpaceToDepth { input: [_, _, channels], .. } => divisors.push(channels),
            Access::Rows { row_elements, .. } => divisors.push(row_elements),
            _ => {}
        }
    }
    [8, 4, 2, 1]
        .into_iter()
        .find(|&width| width <= widest && divisors.iter().all(|divisor| divisor % width == 0))
        .unwrap_or(1)
}
