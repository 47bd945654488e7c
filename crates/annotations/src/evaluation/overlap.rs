use crate::types::BBox;

/// Intersection over union; of a crowd, over the detection alone, so that one crowd covers many detections whole.
///
/// The order of the operations is pycocotools's, and with it the last bit.
pub(super) fn overlap(detection: &BBox, truth: &BBox, crowd: bool) -> f64 {
    let width = (detection.x + detection.width).min(truth.x + truth.width) - detection.x.max(truth.x);
    let height = (detection.y + detection.height).min(truth.y + truth.height) - detection.y.max(truth.y);
    if width <= 0.0 || height <= 0.0 {
        return 0.0;
    }
    let intersection = width * height;
    let union = if crowd { detection.area() } else { detection.area() + truth.area() - intersection };
    intersection / union
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlaps_are_the_known_ones() {
        let whole = BBox::new(0.0, 0.0, 100.0, 100.0);
        let half = BBox::new(0.0, 0.0, 50.0, 50.0);
        let apart = BBox::new(200.0, 200.0, 100.0, 100.0);
        let beside = BBox::new(100.0, 0.0, 100.0, 100.0);
        assert_eq!(overlap(&whole, &whole, false), 1.0);
        assert_eq!(overlap(&whole, &half, false), 0.25);
        assert_eq!(overlap(&half, &whole, false), 0.25);
        assert_eq!(overlap(&half, &whole, true), 1.0);
        assert_eq!(overlap(&whole, &half, true), 0.25);
        assert_eq!(overlap(&whole, &apart, false), 0.0);
        assert_eq!(overlap(&whole, &beside, false), 0.0);
        assert_eq!(overlap(&BBox::new(10.0, 10.0, 0.0, 5.0), &whole, true), 0.0);
    }
}
