use ocelli_core::ops::optimizer::group_count;
use ocelli_core::ops::{AdamW, Op, Sgd};

use crate::host_tensor::HostTensor;

pub(super) fn sgd(sgd: &Sgd, inputs: &[&HostTensor]) -> Vec<Vec<f64>> {
    update(&sgd.groups, inputs, |[lr, momentum, weight_decay, scale, skip], gradient, w, [m]| {
        if skip != 0.0 {
            return;
        }
        let g = scale * gradient + weight_decay * *w;
        *m = momentum * *m + g;
        *w -= lr * if sgd.nesterov { g + momentum * *m } else { *m };
    })
}

pub(super) fn adamw(adamw: &AdamW, inputs: &[&HostTensor]) -> Vec<Vec<f64>> {
    let rule =
        |settings: [f64; AdamW::SCALARS], gradient: f64, w: &mut f64, [m, v]: &mut [f64; AdamW::BUFFERS]| {
            let [lr, beta1, beta2, eps, weight_decay, correction1, correction2, scale, skip] = settings;
            if skip != 0.0 {
                return;
            }
            let g = scale * gradient;
            *w *= 1.0 - lr * weight_decay;
            *m = beta1 * *m + (1.0 - beta1) * g;
            *v = beta2 * *v + (1.0 - beta2) * g * g;
            *w -= lr * (*m / correction1) / ((*v / correction2).sqrt() + eps);
        };
    update(&adamw.groups, inputs, rule)
}

pub(super) fn gradient_norm(inputs: &[&HostTensor]) -> Vec<Vec<f64>> {
    let all = || inputs.iter().flat_map(|gradient| &gradient.values);
    let norm = all().map(|g| g * g).sum::<f64>().sqrt();
    let broken = all().any(|g| !g.is_finite());
    vec![vec![norm], vec![f64::from(u8::from(broken))]]
}

pub(super) fn blend(inputs: &[&HostTensor]) -> Vec<Vec<f64>> {
    let (factors, tensors) = inputs.split_at(Op::BLEND_FACTORS);
    let (keep, take) = (factors[0].values[0], factors[1].values[0]);
    let term = |factor: f64, x: f64| if factor == 0.0 { 0.0 } else { factor * x };
    let one = |(&a, &b): (&f64, &f64)| match (keep == 0.0, take == 0.0) {
        (false, true) => keep * a,
        (true, false) => take * b,
        _ => term(keep, a) + term(take, b),
    };
    tensors.chunks(2).map(|pair| pair[0].values.iter().zip(&pair[1].values).map(one).collect()).collect()
}

/// Applies `rule(settings, gradient, weight, buffers)` to each number of each tensor, which follow the settings of the
/// groups as (weight, gradient, buffers..); yields the new weight and buffers of each tensor.
fn update<const SCALARS: usize, const BUFFERS: usize>(
    groups: &[u32],
    inputs: &[&HostTensor],
    rule: impl Fn([f64; SCALARS], f64, &mut f64, &mut [f64; BUFFERS]),
) -> Vec<Vec<f64>> {
    let (settings, tensors) = inputs.split_at(SCALARS * group_count(groups));
    let mut outputs = Vec::new();
    for (&group, tensor) in groups.iter().zip(tensors.chunks(2 + BUFFERS)) {
        let settings = std::array::from_fn(|i| settings[group as usize * SCALARS + i].values[0]);
        let mut weight = tensor[0].values.clone();
        let mut buffers: [Vec<f64>; BUFFERS] = std::array::from_fn(|b| tensor[2 + b].values.clone());
        for (i, w) in weight.iter_mut().enumerate() {
            let mut numbers = std::array::from_fn(|b| buffers[b][i]);
            rule(settings, tensor[1].values[i], w, &mut numbers);
            for (buffer, number) in buffers.iter_mut().zip(numbers) {
                buffer[i] = number;
            }
        }
        outputs.push(weight);
        outputs.extend(buffers);
    }
    outputs
}
