//! Numbers that are the same on every machine: SplitMix64 (Steele, Lea and Flood, 2014) as a function of an index.
//!
//! Rates are measured on random data, because a GPU spends less power, and so clocks higher, on zeros.

/// Two bf16 numbers of [-1/2, 1/2) in each word of `out`; [`bf16_pair`] is the same on the host.
pub(super) const FILL: &str = r#"
extern "C" __global__ void fill(unsigned int* out, unsigned long long words, unsigned long long seed) {
    unsigned long long step = (unsigned long long)gridDim.x * blockDim.x;
    for (unsigned long long i = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x; i < words; i += step) {
        unsigned long long z = (seed << 40) + (i + 1) * 0x9e3779b97f4a7c15ull;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
        z ^= z >> 31;
        // A float of [1, 2) has 23 free bits.
        float low = __uint_as_float(0x3f800000u | (unsigned int)(z & 0x7fffff)) - 1.5f;
        float high = __uint_as_float(0x3f800000u | (unsigned int)(z >> 41)) - 1.5f;
        out[i] = __float_as_uint(low) >> 16 | (__float_as_uint(high) & 0xffff0000u);
    }
}
"#;

fn split_mix(seed: u64, index: u64) -> u64 {
    let mut z = (seed << 40).wrapping_add((index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The two numbers in word `index`, exactly.
fn bf16_pair(seed: u64, index: u64) -> [f32; 2] {
    let z = split_mix(seed, index);
    let truncated = |bits: u64| {
        let value = f32::from_bits(0x3f80_0000 | bits as u32) - 1.5;
        f32::from_bits(value.to_bits() & 0xffff_0000)
    };
    [truncated(z & 0x7f_ffff), truncated(z >> 41)]
}

/// Element `index` of what [`FILL`] writes.
pub(super) fn bf16(seed: u64, index: usize) -> f32 {
    bf16_pair(seed, index as u64 / 2)[index % 2]
}

/// Normal numbers of the given standard deviation (Box and Muller, 1958).
pub(super) fn normal(seed: u64, count: usize, deviation: f64) -> Vec<f32> {
    // In (0, 1], so that the logarithm is finite.
    let uniform = |index| ((split_mix(seed, index) >> 11) + 1) as f64 / (1u64 << 53) as f64;
    let value = |index: u64| {
        let radius = (-2.0 * uniform(2 * index).ln()).sqrt();
        deviation * radius * (std::f64::consts::TAU * uniform(2 * index + 1)).cos()
    };
    (0..count as u64).map(|index| value(index) as f32).collect()
}

#[cfg(test)]
mod tests {
    use ocelli_cuda::kernel::{KernelSource, compile_cubin};

    use super::*;

    #[test]
    #[cfg_attr(not(ocelli_nvrtc), ignore = "needs NVRTC")]
    fn the_kernel_compiles_for_every_architecture() {
        let source = KernelSource { name: "fill".into(), source: FILL.into(), options: Vec::new() };
        for architecture in ["sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120"] {
            compile_cubin(&source, architecture).unwrap();
        }
    }

    #[test]
    fn the_moments_are_those_of_the_distributions() {
        let moments = |values: &[f32]| {
            let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / values.len() as f64;
            let square = values.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>();
            (mean, square / values.len() as f64)
        };
        let (mean, variance) = moments(&normal(7, 100_000, 2.0));
        assert!(mean.abs() < 0.03 && (variance - 4.0).abs() < 0.1, "{mean} {variance}");
        let uniform: Vec<f32> = (0..100_000).map(|index| bf16(1, index)).collect();
        let (mean, variance) = moments(&uniform);
        assert!(mean.abs() < 0.005 && (variance - 1.0 / 12.0).abs() < 0.002, "{mean} {variance}");
        assert_ne!(bf16(1, 3), bf16(2, 3));
    }
}
