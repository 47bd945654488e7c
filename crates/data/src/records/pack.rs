use std::path::Path;

use super::writer::Writer;
use crate::Result;
use crate::encoded::Encoded;
use crate::images::ImageFolder;
use crate::ordered::in_order;

/// Packs the image files of a folder into a record file, in the order of the folder, as they are: nothing is decoded
/// or checked. Records are named by their paths below the folder.
///
/// `workers` threads read, 0 for as many as the machine runs at once; the file does not depend on how many. `progress`
/// is called after each record with the number of those written.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) where a file cannot be read or the record file not written,
/// [`Error::Unfit`](crate::Error::Unfit) for a file of 4 GiB or more, [`Error::Setting`](crate::Error::Setting) where the
/// system starts no more threads. Nothing has the record file's name then that had not before.
pub fn pack(
    folder: &ImageFolder,
    path: &Path,
    workers: usize,
    mut progress: impl FnMut(usize),
) -> Result<()> {
    let mut writer = Writer::create(path, folder.classes())?;
    let samples = folder.samples();
    let read = |(): &mut (), index: usize| folder.bytes(index);
    in_order(
        samples.len(),
        workers,
        || (),
        read,
        |index, bytes| {
            let sample = &samples[index];
            let name = sample.path.strip_prefix(folder.directory()).unwrap_or(&sample.path);
            writer.write(&bytes?, sample.label, &name.to_string_lossy())?;
            progress(index + 1);
            Ok(())
        },
    )?;
    writer.finish()
}
