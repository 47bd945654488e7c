//! A map, element after element of its space.

use ocelli_core::codegen::{Access, Instruction, MapSpec};
use ocelli_core::{DType, Error, Result};

use crate::host_tensor::{HostTensor, coordinates, offset, round};
use crate::interpret::Bindings;
use crate::ops::dropout::kept;

/// The values of a map's outputs: what it writes, then what it sums.
pub(crate) fn evaluate(map: &MapSpec, inputs: &[HostTensor], bindings: &Bindings) -> Result<Vec<Vec<f64>>> {
    check(map, inputs)?;
    let elements = map.space.iter().product();
    let mut writes = vec![vec![0.0; elements]; map.writes.len()];
    let kept_extents: Vec<[usize; 4]> = map.sums.iter().map(|sum| part(map.space, sum.keep)).collect();
    let mut sums: Vec<Vec<f64>> =
        kept_extents.iter().map(|extents| vec![0.0; extents.iter().product()]).collect();
    let mut registers = Vec::with_capacity(map.body.len());
    for (element, at) in coordinates(map.space).enumerate() {
        registers.clear();
        for &instruction in &map.body {
            let register = |x: u32| registers[x as usize];
            let value = match instruction {
                Instruction::Load(input) => load(map, inputs, input as usize, element, at),
                Instruction::Constant(number) => f64::from(number.0),
                Instruction::Unary(unary, x) => unary.evaluate(register(x)),
                Instruction::Binary(binary, a, b) => binary.evaluate(register(a), register(b)),
                Instruction::Round(dtype, x) if dtype.is_float() => register(x),
                Instruction::Round(dtype, x) => round(dtype, register(x)),
                Instruction::Dropout(dropout, x) => {
                    let kept = kept(&dropout, element as u64, bindings);
                    if kept { register(x) * f64::from(dropout.scale()) } else { 0.0 }
                }
            };
            registers.push(value);
        }
        for (values, write) in writes.iter_mut().zip(&map.writes) {
            values[element] = registers[write.value as usize];
        }
        for ((values, sum), &extents) in sums.iter_mut().zip(&map.sums).zip(&kept_extents) {
            values[offset(extents, at)] += registers[sum.value as usize];
        }
    }
    writes.extend(sums);
    Ok(writes)
}

/// The element of an input that belongs to an element of the space.
fn load(map: &MapSpec, inputs: &[HostTensor], input: usize, element: usize, at: [usize; 4]) -> f64 {
    let (space_channels, channel) = (map.space[3], at[3]);
    let row = element / space_channels;
    let values = &inputs[input].values;
    match map.inputs[input].access {
        Access::Full => values[element],
        Access::Broadcast(mask) => values[offset(part(map.space, mask), at)],
        Access::ChannelSlice { start, channels } => values[row * channels + start + channel],
        Access::ChannelPad { before, channels } if (before..before + channels).contains(&channel) => {
            values[row * channels + channel - before]
        }
        Access::ChannelPad { .. } | Access::Indices => 0.0,
        Access::SpaceToDepth { blocks, input: [h, w, c] } => {
            let part = channel / c;
            let row = (at[1] * blocks.block[0] + part / blocks.block[1]).checked_sub(blocks.before[0]);
            let column = (at[2] * blocks.block[1] + part % blocks.block[1]).checked_sub(blocks.before[1]);
            match (row, column) {
                (Some(row), Some(column)) if row < h && column < w => {
                    values[((at[0] * h + row) * w + column) * c + channel % c]
                }
                _ => 0.0,
            }
        }
        Access::DepthToSpace { blocks } => {
            let [bh, bw] = blocks.block;
            let (row, column) = (at[1] + blocks.before[0], at[2] + blocks.before[1]);
            let block = (at[0] * blocks.output[0] + row / bh) * blocks.output[1] + column / bw;
            values[(block * bh * bw + row % bh * bw + column % bw) * space_channels + channel]
        }
        Access::ChannelShuffle { groups } => {
            let from = channel % groups * (space_channels / groups) + channel / groups;
            values[row * space_channels + from]
        }
        Access::Windows { windows, output: [p, q], places } => {
            let mut sum = 0.0;
            for (row, column) in (0..p).flat_map(|row| (0..q).map(move |column| (row, column))) {
                let r = (at[1] + windows.padding[0]).checked_sub(row * windows.stride[0]);
                let s = (at[2] + windows.padding[1]).checked_sub(column * windows.stride[1]);
                let (Some(r), Some(s)) = (r, s) else { continue };
                let window = offset([map.space[0], p, q, space_channels], [at[0], row, column, channel]);
                let place = inputs[places as usize].values[window];
                let holds = r < windows.kernel[0] && s < windows.kernel[1];
                if holds && place == (r * windows.kernel[1] + s) as f64 {
                    sum += values[window];
                }
            }
            sum
        }
        Access::Rows { row_elements, rows, indices } => {
            let picked = inputs[indices as usize].values[element / row_elements];
            if (0.0..rows as f64).contains(&picked) {
                values[picked as usize * row_elements + element % row_elements]
            } else if map.inputs[input].dtype.is_float() {
                f64::NAN
            } else {
                0.0
            }
        }
    }
}

/// The extents where `mask` holds, 1 elsewhere.
fn part(space: [usize; 4], mask: [bool; 4]) -> [usize; 4] {
    std::array::from_fn(|axis| if mask[axis] { space[axis] } else { 1 })
}

/// Refuses a map that reads outside of its inputs or before its registers, and one that no kernel is generated for.
fn check(map: &MapSpec, inputs: &[HostTensor]) -> Result<()> {
    let fail = |what: String| Err(Error::Plan { pass: "oracle", what });
    if inputs.len() != map.inputs.len() {
        return fail(format!("a map of {} inputs gets {}", map.inputs.len(), inputs.len()));
    }
    let elements: usize = map.space.iter().product();
    let (channels_of_space, rows_of_space) = (map.space[3], map.space[..3].iter().product::<usize>());
    for (position, (input, tensor)) in map.inputs.iter().zip(inputs).enumerate() {
        let (wanted, inside) = match input.access {
            Access::Full => (elements, true),
            Access::Broadcast(mask) => (part(map.space, mask).iter().product(), true),
            Access::ChannelSlice { start, channels } => {
                (rows_of_space * channels, start + channels_of_space <= channels)
            }
            Access::ChannelPad { before, channels } => {
                (rows_of_space * channels, before + channels <= channels_of_space)
            }
            Access::SpaceToDepth { blocks, input: [h, w, c] } => {
                let fits = c * blocks.block[0] * blocks.block[1] == channels_of_space
                    && blocks.output == [map.space[1], map.space[2]];
                (map.space[0] * h * w * c, fits)
            }
            Access::DepthToSpace { blocks } => {
                let last =
                    |axis: usize| (map.space[axis + 1] + blocks.before[axis]).div_ceil(blocks.block[axis]);
                let inside = (0..2).all(|axis| last(axis) <= blocks.output[axis]);
                let of_all: usize = blocks.block.iter().chain(&blocks.output).product();
                (map.space[0] * channels_of_space * of_all, inside)
            }
            Access::ChannelShuffle { groups } => (elements, channels_of_space.is_multiple_of(groups)),
            Access::Rows { row_elements, rows, indices } => {
                let of = map.inputs.get(indices as usize);
                (rows * row_elements, of.is_some_and(|of| of.access == Access::Indices))
            }
            Access::Windows { output: [p, q], places, .. } => {
                let of = map.inputs.get(places as usize);
                let wanted = map.space[0] * p * q * channels_of_space;
                (wanted, of.is_some_and(|of| of.access == Access::Indices && of.dtype == DType::U8))
            }
            Access::Indices if input.dtype == DType::U8 => {
                let places = |other: &Access| matches!(other, Access::Windows { output: [p, q], places, .. } if *places as usize == position && tensor.values.len() == map.space[0] * p * q * channels_of_space);
                (tensor.values.len(), map.inputs.iter().any(|other| places(&other.access)))
            }
            Access::Indices => {
                let picks = |other: &Access| matches!(other, Access::Rows { row_elements, indices, .. } if *indices as usize == position && tensor.values.len() * row_elements == elements);
                (tensor.values.len(), map.inputs.iter().any(|other| picks(&other.access)))
            }
        };
        if input.dtype != tensor.ty.dtype || tensor.values.len() != wanted || !inside {
            return fail(format!(
                "input {position}, {input:?}, does not fit {} in {:?}",
                tensor.ty, map.space
            ));
        }
    }
    for (position, instruction) in map.body.iter().enumerate() {
        let earlier = |registers: &[u32]| registers.iter().all(|&register| (register as usize) < position);
        let sound = match *instruction {
            Instruction::Load(input) => (input as usize) < inputs.len(),
            Instruction::Constant(_) => true,
            Instruction::Unary(_, x) | Instruction::Round(_, x) | Instruction::Dropout(_, x) => earlier(&[x]),
            Instruction::Binary(_, a, b) => earlier(&[a, b]),
        };
        if !sound {
            return fail(format!("instruction {position}, {instruction:?}, reads what is not there"));
        }
    }
    let mut results = map.writes.iter().map(|write| write.value).chain(map.sums.iter().map(|sum| sum.value));
    if results.any(|register| register as usize >= map.body.len()) {
        return fail("a map's result is a register that it does not have".into());
    }
    let one_keep = map.sums.windows(2).all(|pair| pair[0].keep == pair[1].keep);
    if map.writes.is_empty() && map.sums.is_empty() || !one_keep {
        return fail("a map has no results, or sums over different extents".into());
    }
    Ok(())
}
