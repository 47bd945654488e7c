use std::path::Path;
use std::sync::mpsc;
use std::thread;

use super::writer::Writer;
use crate::Result;
use crate::encoded::Encoded;
use crate::images::{ImageFolder, threads};

/// How many files a thread reads ahead of the one that writes.
const AHEAD: usize = 8;

/// Packs the image files of a folder into a record file, in the order of the folder, as they are: nothing is decoded
/// or checked. Records are named by their paths below the folder.
///
/// `workers` threads read, 0 for as many as the machine runs at once; the file does not depend on how many. `progress`
/// is called after each record with the number of those written.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) where a file cannot be read or the record file not written,
/// [`Error::Unfit`](crate::Error::Unfit) for a file of 4 GiB or more. Nothing has the record file's name then that had
/// not before.
pub fn pack(
    folder: &ImageFolder,
    path: &Path,
    workers: usize,
    mut progress: impl FnMut(usize),
) -> Result<()> {
    let mut writer = Writer::create(path, folder.classes())?;
    let samples = folder.samples();
    let workers = threads(workers).min(samples.len()).max(1);
    thread::scope(|scope| -> Result<()> {
        // Each thread reads every `workers`-th file, so that their files in turns are all in order.
        let start = |worker: usize| {
            let (sender, receiver) = mpsc::sync_channel(AHEAD);
            scope.spawn(move || {
                for index in (worker..samples.len()).step_by(workers) {
                    // Nobody receives after an error.
                    if sender.send(folder.bytes(index)).is_err() {
                        return;
                    }
                }
            });
            receiver
        };
        let receivers: Vec<_> = (0..workers).map(start).collect();
        let files = receivers.iter().cycle().map_while(|receiver| receiver.recv().ok());
        for (index, (sample, bytes)) in samples.iter().zip(files).enumerate() {
            let name = sample.path.strip_prefix(folder.directory()).unwrap_or(&sample.path);
            writer.write(&bytes?, sample.label, &name.to_string_lossy())?;
            progress(index + 1);
        }
        Ok(())
    })?;
    writer.finish()
}
