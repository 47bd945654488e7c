//! How long candidates take, with operands of a convolution's sizes.
//!
//! All candidates run once, which loads their code; what the host waits for the end of that run is less than the run
//! takes, and those that take much longer than the first one's next run are not run again. (In f32 some engines take
//! many times as long as the best.) Then each is looked at twice, and those that have no chance are dropped; the
//! others are timed in turns, so that a change of the clock meets all of them. The GPU is kept waiting until the host
//! has enqueued a round: what is measured is the GPU's time, and not the host's.

use std::time::{Duration, Instant};

use ocelli_cuda::{Device, DeviceBuffer, Event, Function, KernelArgs, KernelSource};
use ocelli_cudnn::{Plan, Result};

use super::describe::{Product, uid};
use super::{Gpu, MatmulPlan};
use crate::execute::launch;
use crate::plan::{Convolution, Operand};

/// Something that may run a convolution.
#[derive(Clone, Copy)]
pub(super) enum Candidate<'a> {
    Cudnn(&'a Plan),
    CublasLt { plan: &'a MatmulPlan, product: &'a Product },
}

/// Launches of each candidate in the first round.
const LOOKS: usize = 2;
/// Launches of each candidate that is left in the second.
const ROUNDS: usize = 5;
/// A candidate whose looks take so many times the best one's is dropped.
const HOPELESS: f32 = 1.3;
/// A candidate whose first run takes so many times a look at the one with the shortest first run is not looked at.
const FAR_TOO_SLOW: f32 = 2.0;
/// What waiting for the GPU takes the host when nothing runs, and more, in milliseconds.
const SYNCHRONIZING: f32 = 0.1;
/// What enqueueing a timed launch takes the host at most, in nanoseconds; the GPU waits for so long.
const ENQUEUEING: u64 = 20_000;

/// Memory for operands, kept from one convolution to the next: numbers to read, which are written once, room for
/// results, and workspace.
pub(in crate::execute) struct Tuner {
    fill: Function,
    wait: Function,
    numbers: Option<DeviceBuffer>,
    results: Option<DeviceBuffer>,
    workspace: Option<DeviceBuffer>,
}

/// Addresses of a convolution's operands.
type Operands = Vec<(Operand, u64)>;

impl Tuner {
    /// The median milliseconds of each candidate; `None` for those that refuse or were dropped.
    pub(super) fn time(
        gpu: &Gpu,
        convolution: &Convolution,
        candidates: &[Candidate<'_>],
    ) -> Result<Vec<Option<f32>>> {
        // Alone: what other threads enqueue meanwhile would be timed too, or capture this.
        let _alone = gpu.own_stream();
        let mut kept = gpu.tuner.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let tuner = match kept.take() {
            Some(tuner) => tuner,
            None => Tuner::new(gpu.cuda())?,
        };
        kept.insert(tuner).time_all(gpu.cuda(), convolution, candidates)
    }

    fn new(device: &Device) -> Result<Tuner> {
        let source = KernelSource { name: "tuning".into(), source: SOURCE.into(), options: Vec::new() };
        let module = device.compile(&source)?;
        let (fill, wait) = (module.function("fill_random")?, module.function("wait")?);
        Ok(Tuner { fill, wait, numbers: None, results: None, workspace: None })
    }

    fn time_all(
        &mut self,
        device: &Device,
        convolution: &Convolution,
        candidates: &[Candidate<'_>],
    ) -> Result<Vec<Option<f32>>> {
        let stream = device.stream();
        let sets = self.operands(device, convolution)?;
        let bytes = candidates.iter().map(Candidate::workspace_bytes).max().unwrap_or(0);
        let workspace = room(&mut self.workspace, device, bytes)?.ptr();
        let launch = |candidate: usize, turn: usize| {
            candidates[candidate].launch(device, convolution, &sets[turn % sets.len()], workspace)
        };
        let mut first_runs: Vec<(usize, Duration)> = Vec::with_capacity(candidates.len());
        for (position, candidate) in candidates.iter().enumerate() {
            match launch(position, position) {
                Ok(()) => {
                    let launched = Instant::now();
                    stream.synchronize()?;
                    first_runs.push((position, launched.elapsed()));
                }
                Err(error) if error.is_refusal() || candidate.is_product() => {}
                Err(error) => return Err(error),
            }
        }
        let mut left: Vec<usize> = first_runs.iter().map(|&(candidate, _)| candidate).collect();
        let mut times: Vec<Vec<f32>> = vec![Vec::new(); candidates.len()];
        let mut turns = 0;
        let mut round = |left: &[usize], count: usize, times: &mut Vec<Vec<f32>>| -> Result<()> {
            self.keep_waiting(device, (left.len() * count) as u64 * ENQUEUEING)?;
            let mut events: Vec<(usize, Event, Event)> = Vec::with_capacity(left.len() * count);
            for _ in 0..count {
                for &candidate in left {
                    turns += 1;
                    let start = stream.record_timed()?;
                    launch(candidate, turns)?;
                    events.push((candidate, start, stream.record_timed()?));
                }
            }
            stream.synchronize()?;
            for (candidate, start, end) in &events {
                times[*candidate].push(end.elapsed_ms(start)?);
            }
            Ok(())
        };
        let shortest = |times: &[f32]| times.iter().copied().fold(f32::INFINITY, f32::min);
        if let Some(&(quickest, _)) = first_runs.iter().min_by_key(|(_, waited)| *waited) {
            round(&[quickest], 1, &mut times)?;
            let longest = FAR_TOO_SLOW * shortest(&times[quickest]) + SYNCHRONIZING;
            let slow = |candidate| {
                first_runs
                    .iter()
                    .any(|&(run, waited)| run == candidate && 1e3 * waited.as_secs_f32() > longest)
            };
            left.retain(|&candidate| candidate == quickest || !slow(candidate));
        }
        round(&left, LOOKS, &mut times)?;
        let best = left.iter().map(|&candidate| shortest(&times[candidate])).fold(f32::INFINITY, f32::min);
        left.retain(|&candidate| shortest(&times[candidate]) <= HOPELESS * best);
        if left.len() > 1 {
            round(&left, ROUNDS, &mut times)?;
        }
        let median = |candidate: usize| {
            let mut times = times[candidate].clone();
            times.sort_by(f32::total_cmp);
            left.contains(&candidate).then(|| times.get(times.len() / 2).copied()).flatten()
        };
        Ok((0..candidates.len()).map(median).collect())
    }

    /// Several sets of operands, more than the L2 cache holds, so that each launch finds its operands as a step would:
    /// not in the cache.
    fn operands(&mut self, device: &Device, convolution: &Convolution) -> Result<Vec<Operands>> {
        let cache = device.properties().l2_bytes;
        let sets = (2 * cache).div_ceil(convolution.bytes().max(1)).clamp(1, LOOKS + ROUNDS);
        let size = |operand: Operand| {
            convolution.operand(operand).bytes().next_multiple_of(crate::plan::memory::ALIGNMENT)
        };
        let all = |operands: &[Operand]| operands.iter().map(|&operand| size(operand)).sum::<usize>();
        let (reads, writes) = (convolution.reads(), convolution.writes());
        let had = self.numbers.as_ref().map_or(0, DeviceBuffer::len);
        let numbers = room(&mut self.numbers, device, sets * all(&reads))?;
        if numbers.len() > had {
            let mut args = KernelArgs::new();
            args.push_ptr(numbers.ptr()).push_u64((numbers.len() / 4) as u64);
            launch::run_helper(&self.fill, device.stream(), 1024, &args)?;
        }
        let results = room(&mut self.results, device, sets * all(&writes))?;
        let (mut read, mut written) = (numbers.ptr(), results.ptr());
        let place = |operands: &[Operand], from: &mut u64| -> Operands {
            let place = |&operand: &Operand| {
                let address = *from;
                *from += size(operand) as u64;
                (operand, address)
            };
            operands.iter().map(place).collect()
        };
        let mut set = || {
            let mut operands = place(&reads, &mut read);
            operands.extend(place(&writes, &mut written));
            operands
        };
        Ok((0..sets).map(|_| set()).collect())
    }

    /// Lets the GPU do nothing for some time.
    fn keep_waiting(&self, device: &Device, nanoseconds: u64) -> Result<()> {
        let mut args = KernelArgs::new();
        args.push_u64(nanoseconds);
        Ok(launch::run_helper(&self.wait, device.stream(), 1, &args)?)
    }
}

/// A buffer of at least so many bytes: the one that is there, or a larger one in its place.
fn room<'a>(slot: &'a mut Option<DeviceBuffer>, device: &Device, bytes: usize) -> Result<&'a DeviceBuffer> {
    let buffer = match slot.take() {
        Some(buffer) if buffer.len() >= bytes => buffer,
        smaller => {
            drop(smaller);
            device.alloc(bytes)?
        }
    };
    Ok(slot.insert(buffer))
}

impl Candidate<'_> {
    fn workspace_bytes(&self) -> usize {
        match self {
            Candidate::Cudnn(plan) => plan.workspace_bytes(),
            Candidate::CublasLt { plan, .. } => plan.workspace_bytes(),
        }
    }

    fn is_product(&self) -> bool {
        matches!(self, Candidate::CublasLt { .. })
    }

    fn launch(
        &self,
        device: &Device,
        convolution: &Convolution,
        operands: &Operands,
        workspace: u64,
    ) -> Result<()> {
        match self {
            Candidate::Cudnn(plan) => {
                let pointers: Vec<(i64, u64)> =
                    operands.iter().map(|&(operand, address)| (uid(operand), address)).collect();
                launch::convolve_once(plan, &pointers, workspace)
            }
            Candidate::CublasLt { plan, product } => match product.operands(convolution, operands) {
                Some(operands) => Ok(launch::multiply_once(plan, device.stream(), &operands, workspace)?),
                None => {
                    let (plan, uid) = (plan.spec().to_string(), uid(product.d));
                    Err(ocelli_cudnn::Error::MissingPointer { plan, uid })
                }
            },
        }
    }
}

/// `fill_random` writes fp16 numbers between an eighth and one, of either sign: tensor cores draw more power, and run
/// slower, on such than on zeros. The same bits are harmless small numbers as bf16 and, two by two, as f32.
pub(super) const SOURCE: &str = r#"
extern "C" __global__ void fill_random(unsigned int* out, unsigned long long count) {
    unsigned long long stride = (unsigned long long)gridDim.x * blockDim.x;
    for (unsigned long long i = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += stride) {
        unsigned int h = (unsigned int)i * 2654435761u + (unsigned int)(i >> 32);
        h ^= h >> 16; h *= 0x85ebca6bu; h ^= h >> 13; h *= 0xc2b2ae35u; h ^= h >> 16;
        unsigned int low = ((h & 0xffffu) * 3u >> 6) + 0x3000u, high = ((h >> 16) * 3u >> 6) + 0x3000u;
        out[i] = (low | (h & 1u) << 15) | (high | (h >> 31) << 15) << 16;
    }
}

extern "C" __global__ void wait(unsigned long long nanoseconds) {
    unsigned long long start, now;
    asm volatile("mov.u64 %0, %globaltimer;" : "=l"(start));
    do asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now)); while (now - start < nanoseconds);
}
"#;
