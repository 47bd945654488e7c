use super::{category::Record, evaluator::Evaluator, numeric::descending, truth::Truth};

/// Annotations and detections by image, whatever their category.
pub(super) struct Scenes<'a> {
    /// By image, then in the order in which they came.
    truths: Vec<Labelled<'a>>,
    /// By image, the highest score first, equal ones in the order in which they came.
    detections: Vec<Detected<'a>>,
}

/// What is in an image.
pub(super) struct Scene<'s, 'a> {
    pub(super) truths: &'s [Labelled<'a>],
    pub(super) detections: &'s [Detected<'a>],
}

#[derive(Clone, Copy)]
pub(super) struct Labelled<'a> {
    /// The category's place.
    pub(super) category: usize,
    pub(super) truth: &'a Truth,
}

#[derive(Clone, Copy)]
pub(super) struct Detected<'a> {
    /// The category's place.
    pub(super) category: usize,
    pub(super) record: &'a Record,
}

impl<'a> Scenes<'a> {
    pub(super) fn new(evaluator: &'a Evaluator) -> Scenes<'a> {
        let truth = evaluator.truth();
        let mut truths: Vec<Labelled<'a>> = (0..truth.categories().len())
            .flat_map(|category| {
                let own = &truth.truths()[truth.category_range(category)];
                own.iter().map(move |truth| Labelled { category, truth })
            })
            .collect();
        truths.sort_unstable_by_key(|Labelled { truth, .. }| (truth.image, truth.order));
        let mut detections: Vec<Detected<'a>> = evaluator
            .pending()
            .iter()
            .enumerate()
            .flat_map(|(category, records)| records.iter().map(move |record| Detected { category, record }))
            .collect();
        detections.sort_unstable_by_key(|Detected { record, .. }| {
            (record.image, descending(record.score), record.order)
        });
        Scenes { truths, detections }
    }

    /// The images that have annotations or detections, by id.
    pub(super) fn iter(&self) -> impl Iterator<Item = Scene<'_, 'a>> {
        let (mut truths, mut detections) = (self.truths.as_slice(), self.detections.as_slice());
        std::iter::from_fn(move || {
            let next_truth = truths.first().map(|next| next.truth.image);
            let next_detection = detections.first().map(|next| next.record.image);
            let image = next_truth.into_iter().chain(next_detection).min()?;
            let own;
            (own, truths) = truths.split_at(truths.partition_point(|next| next.truth.image == image));
            let found;
            (found, detections) =
                detections.split_at(detections.partition_point(|next| next.record.image == image));
            Some(Scene { truths: own, detections: found })
        })
    }
}
