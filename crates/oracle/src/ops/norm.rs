use ocelli_core::ops::{BatchNorm, GroupNorm};

use crate::host_tensor::{HostTensor, coordinates, offset};

/// Values that share a mean and a variance, by their offsets in `x`.
type Members = Vec<usize>;

/// For each channel the offsets of its values.
fn channels(x: &HostTensor) -> Vec<Members> {
    let mut channels = vec![Vec::new(); x.ty.shape.channels()];
    for i in coordinates(x.extents()) {
        channels[i[3]].push(offset(x.extents(), i));
    }
    channels
}

/// For each image and each group of channels the offsets of its values.
fn groups(x: &HostTensor, count: usize) -> Vec<Members> {
    let [batch, _, _, channels] = x.extents();
    let mut groups = vec![Vec::new(); batch * count];
    for i in coordinates(x.extents()) {
        groups[i[0] * count + i[3] / (channels / count)].push(offset(x.extents(), i));
    }
    groups
}

/// Mean and biased variance.
fn moments(x: &HostTensor, members: &Members) -> (f64, f64) {
    let count = members.len() as f64;
    let mean = members.iter().map(|&i| x.values[i]).sum::<f64>() / count;
    let variance = members.iter().map(|&i| (x.values[i] - mean).powi(2)).sum::<f64>() / count;
    (mean, variance)
}

/// `gamma (x - mean) inverse + beta` over members with a mean and an inverse deviation each.
fn normalise(
    x: &HostTensor,
    sets: &[Members],
    mean: &[f64],
    inverse: &[f64],
    gamma: &HostTensor,
    beta: &HostTensor,
) -> Vec<f64> {
    let channels = x.ty.shape.channels();
    let mut y = vec![0.0; x.values.len()];
    for (set, (mean, inverse)) in sets.iter().zip(mean.iter().zip(inverse)) {
        for &i in set {
            let c = i % channels;
            y[i] = gamma.values[c] * (x.values[i] - mean) * inverse + beta.values[c];
        }
    }
    y
}

/// The gradients for `x`, `gamma` and `beta`, by the chain rule through the mean and the variance, as in Ioffe and
/// Szegedy's paper.
fn normalise_grad(
    x: &HostTensor,
    sets: &[Members],
    mean: &[f64],
    inverse: &[f64],
    gamma: &HostTensor,
    dy: &HostTensor,
) -> Vec<Vec<f64>> {
    let channels = x.ty.shape.channels();
    let (mut dx, mut dgamma, mut dbeta) =
        (vec![0.0; x.values.len()], vec![0.0; channels], vec![0.0; channels]);
    for (set, (mean, inverse)) in sets.iter().zip(mean.iter().zip(inverse)) {
        let count = set.len() as f64;
        let (mut dmean, mut dvariance) = (0.0, 0.0);
        for &i in set {
            let (c, centred) = (i % channels, x.values[i] - mean);
            dgamma[c] += dy.values[i] * centred * inverse;
            dbeta[c] += dy.values[i];
            let dnormalised = dy.values[i] * gamma.values[c];
            dmean -= dnormalised * inverse;
            dvariance -= dnormalised * centred * 0.5 * inverse.powi(3);
        }
        for &i in set {
            let dnormalised = dy.values[i] * gamma.values[i % channels];
            dx[i] = dnormalised * inverse + dvariance * 2.0 * (x.values[i] - mean) / count + dmean / count;
        }
    }
    vec![dx, dgamma, dbeta]
}

fn inverse_deviation(variance: &[f64], eps: f32) -> Vec<f64> {
    variance.iter().map(|variance| 1.0 / (variance + f64::from(eps)).sqrt()).collect()
}

pub(super) fn channel_stats(x: &HostTensor) -> Vec<Vec<f64>> {
    let (mean, variance) = channels(x).iter().map(|channel| moments(x, channel)).unzip();
    vec![mean, variance]
}

pub(super) fn batch_norm(
    norm: &BatchNorm,
    x: &HostTensor,
    gamma: &HostTensor,
    beta: &HostTensor,
) -> Vec<Vec<f64>> {
    let sets = channels(x);
    let (mean, variance): (Vec<f64>, Vec<f64>) = sets.iter().map(|channel| moments(x, channel)).unzip();
    let y = normalise(x, &sets, &mean, &inverse_deviation(&variance, norm.eps.0), gamma, beta);
    vec![y, mean, variance]
}

pub(super) fn batch_norm_grad(
    norm: &BatchNorm,
    x: &HostTensor,
    gamma: &HostTensor,
    mean: &HostTensor,
    variance: &HostTensor,
    dy: &HostTensor,
) -> Vec<Vec<f64>> {
    let inverse = inverse_deviation(&variance.values, norm.eps.0);
    normalise_grad(x, &channels(x), &mean.values, &inverse, gamma, dy)
}

pub(super) fn group_norm(
    norm: &GroupNorm,
    x: &HostTensor,
    gamma: &HostTensor,
    beta: &HostTensor,
) -> Vec<Vec<f64>> {
    let sets = groups(x, norm.groups);
    let (mean, variance): (Vec<f64>, Vec<f64>) = sets.iter().map(|group| moments(x, group)).unzip();
    let inverse = inverse_deviation(&variance, norm.eps.0);
    let y = normalise(x, &sets, &mean, &inverse, gamma, beta);
    vec![y, mean, inverse]
}

pub(super) fn group_norm_grad(
    norm: &GroupNorm,
    x: &HostTensor,
    gamma: &HostTensor,
    mean: &HostTensor,
    inverse: &HostTensor,
    dy: &HostTensor,
) -> Vec<Vec<f64>> {
    normalise_grad(x, &groups(x, norm.groups), &mean.values, &inverse.values, gamma, dy)
}
