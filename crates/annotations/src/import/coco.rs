//! Import of COCO's instances.

use std::path::Path;

use super::{Gathering, Options, Progress, Report, Source};
use crate::coco::instances::{self, Sink};
use crate::error::Result;
use crate::types::{Annotation, Category, Image};

/// Makes a store from COCO's JSON of instances, one file for each split.
///
/// The files are read as a stream: what is kept in memory are the boxes. Fields that the store has no column for are kept
/// as they are written, so that [`export::coco`](crate::export::coco) gives the same data back.
///
/// # Errors
/// [`Error::Json`](crate::Error::Json) names the place where a file is not what it should be; [`Error::BadBox`](crate::Error::BadBox) if
/// [`OnBadBox`](super::OnBadBox) asks for it; [`Error::Exists`](crate::Error::Exists);
/// [`Error::DiskFull`](crate::Error::DiskFull). There is no store then.
pub fn coco(
    store: impl AsRef<Path>,
    sources: &[Source],
    options: &Options,
    mut progress: impl FnMut(Progress),
) -> Result<Report> {
    let total =
        sources.iter().map(|source| std::fs::metadata(&source.labels).ok().map(|file| file.len())).sum();
    let mut gathering = Gathering::new(store.as_ref(), options)?;
    let mut before = 0;
    for source in sources {
        let mut counted = |read| progress(Progress { read: before + read, total });
        gathering.begin_split(&source.split, &source.images, &source.labels);
        gathering.meta(format!("source/{}", source.split), describe(&source.labels));
        let mut sink = SplitSink { gathering: &mut gathering, split: &source.split };
        match instances::read(&source.labels, &mut sink, &mut counted) {
            Ok(bytes) => before += bytes,
            Err(error) => return Err(gathering.failed(error)),
        }
    }
    gathering.finish()
}

/// What identifies a file, as JSON.
fn describe(path: &Path) -> String {
    let metadata = std::fs::metadata(path).ok();
    let modified = metadata.as_ref().and_then(|metadata| metadata.modified().ok());
    let seconds =
        modified.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok()).map(|time| time.as_secs());
    serde_json::json!({
        "path": path.to_string_lossy(),
        "bytes": metadata.map(|metadata| metadata.len()),
        "modified": seconds,
    })
    .to_string()
}

struct SplitSink<'a> {
    gathering: &'a mut Gathering,
    split: &'a str,
}

impl Sink for SplitSink<'_> {
    fn boxes_only(&self) -> bool {
        self.gathering.boxes_only()
    }

    fn image(&mut self, image: Image, extra: Option<String>) -> bool {
        self.gathering.image(image, extra)
    }

    fn category(&mut self, category: Category, extra: Option<String>) -> bool {
        self.gathering.category(category, extra);
        true
    }

    fn annotation(
        &mut self,
        annotation: Annotation,
        segmentation: Option<String>,
        extra: Option<String>,
    ) -> bool {
        self.gathering.annotation(annotation, segmentation, extra)
    }

    fn other(&mut self, key: &str, json: String) -> bool {
        self.gathering.meta(format!("coco/{}/{key}", self.split), json);
        true
    }
}
