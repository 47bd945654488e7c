//! The generated digits: reproducible, even, and a task that needs more than a linear classifier.

use ocelli_data::mnist::{LabelledImages, generated};

const PIXELS: usize = 28 * 28;

#[test]
fn a_seed_gives_one_set_and_another_seed_another() {
    let set = generated(7, 50, 20);
    assert_eq!(set, generated(7, 50, 20));
    assert_ne!(set.train.images, generated(8, 50, 20).train.images);
    assert_ne!(set.train.images[..20 * PIXELS], set.test.images, "the test set repeats the training set");
}

#[test]
fn a_smaller_set_begins_a_larger_one() {
    let (small, large) = (generated(7, 33, 5), generated(7, 101, 5));
    assert_eq!(small.train.images, large.train.images[..33 * PIXELS]);
    assert_eq!(small.train.labels, large.train.labels[..33]);
    assert_eq!(small.test, large.test);
}

#[test]
fn an_empty_set_is_a_set() {
    let set = generated(7, 0, 0);
    assert!(set.train.images.is_empty() && set.test.labels.is_empty());
}

#[test]
fn digits_are_even_and_every_image_shows_one() {
    let set = generated(1, 2000, 0).train;
    assert_eq!((set.count, set.rows, set.columns), (2000, 28, 28));
    for digit in 0..10 {
        let count = set.labels.iter().filter(|label| **label == digit).count();
        assert!((150..250).contains(&count), "{count} of 2000 are a {digit}");
    }
    for (index, image) in set.images.chunks(PIXELS).enumerate() {
        let ink = image.iter().filter(|value| **value > 120).count();
        assert!((15..300).contains(&ink), "image {index} has {ink} pixels of ink");
    }
}

/// Softmax regression by plain gradient descent stays well below what a convolutional network reaches, and well above
/// chance.
#[test]
fn a_linear_classifier_learns_something_but_not_all() {
    let set = generated(3, 3000, 1000);
    let weights = softmax_regression(&set.train, 5);
    let right = samples(&set.test).filter(|(image, label)| {
        let scores = scores(&weights, image);
        (0..10).max_by(|&a, &b| scores[a].total_cmp(&scores[b])) == Some(usize::from(*label))
    });
    let accuracy = right.count() as f32 / set.test.count as f32;
    println!("accuracy {accuracy}");
    assert!((0.6..0.93).contains(&accuracy), "accuracy {accuracy}");
}

fn samples(set: &LabelledImages) -> impl Iterator<Item = (&[u8], u8)> {
    set.images.chunks(PIXELS).zip(set.labels.iter().copied())
}

fn scores(weights: &[[f32; 10]], image: &[u8]) -> [f32; 10] {
    let mut scores = [0.0; 10];
    for (weights, value) in weights.iter().zip(image).filter(|(_, value)| **value > 0) {
        for (score, weight) in scores.iter_mut().zip(weights) {
            *score += weight * f32::from(*value) / 255.0;
        }
    }
    scores
}

fn softmax_regression(set: &LabelledImages, epochs: usize) -> Vec<[f32; 10]> {
    let mut weights = vec![[0.0; 10]; PIXELS];
    for epoch in 0..epochs {
        let rate = 0.02 / (1 + epoch) as f32;
        for (image, label) in samples(set) {
            let mut gradient = scores(&weights, image).map(f32::exp);
            let sum: f32 = gradient.iter().sum();
            gradient = gradient.map(|value| value / sum);
            gradient[usize::from(label)] -= 1.0;
            for (weights, value) in weights.iter_mut().zip(image).filter(|(_, value)| **value > 0) {
                for (weight, gradient) in weights.iter_mut().zip(gradient) {
                    *weight -= rate * gradient * f32::from(*value) / 255.0;
                }
            }
        }
    }
    weights
}
