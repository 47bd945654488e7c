//! What the system has in memory of files: all of them before what is measured warm, nothing before what is measured cold.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::error::Result;
use super::set::Set;

/// Threads that read or drop files.
const THREADS: usize = 16;

/// What became of files that were to be dropped from the system's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Pages {
    /// None of those that were looked at is in memory.
    Dropped,
    /// Some are still there: the file system keeps its files in memory, or others use them.
    Kept,
    /// The system was asked, and does not say whether it did.
    Unknown,
}

/// Reads the images once, those that there is time for; how many were read. What cannot be read, the loader will name.
pub(super) fn read_through(set: &Set, time: Duration) -> Result<usize> {
    let images = set.images(1)?;
    let (start, read) = (Instant::now(), AtomicUsize::new(0));
    in_parallel(set.len(), |index, bytes| {
        if start.elapsed() < time && images.read(index, bytes).is_ok() {
            read.fetch_add(1, Ordering::Relaxed);
        }
    });
    Ok(read.into_inner())
}

/// Does something for each number below `count`, on several threads, each of which has a buffer of its own.
fn in_parallel(count: usize, job: impl Fn(usize, &mut Vec<u8>) + Sync) {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut bytes = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return;
            }
            job(index, &mut bytes);
        }
    };
    thread::scope(|scope| {
        for _ in 0..THREADS.min(count) {
            scope.spawn(work);
        }
    });
}

#[cfg(target_os = "linux")]
pub(super) use linux::drop_files;

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::File;
    use std::io::IoSliceMut;
    use std::path::Path;
    use std::sync::atomic::{AtomicBool, Ordering};

    use rustix::fs::{Advice, fadvise};
    use rustix::io::{Errno, ReadWriteFlags, preadv2};

    use super::{Pages, in_parallel};
    use crate::bench_loader::error::{Error, Result};
    use crate::bench_loader::set::Set;

    /// How many places of the files are looked at afterwards.
    const LOOKED_AT: usize = 16;

    /// Asks the system to drop the set's files from its memory, and looks whether it did.
    ///
    /// # Errors
    /// [`Error::Io`] where a file that is looked at cannot be opened.
    pub(in crate::bench_loader) fn drop_files(set: &Set) -> Result<Pages> {
        let files = set.files();
        let refused = AtomicBool::new(false);
        in_parallel(files.len(), |index, _| {
            if !files.get(index).is_none_or(|file| forget(file)) {
                refused.store(true, Ordering::Relaxed);
            }
        });
        if refused.into_inner() {
            return Ok(Pages::Kept);
        }
        let mut found = Pages::Dropped;
        for (file, offset) in places(&files)? {
            match is_in_memory(file, offset)? {
                Some(true) => return Ok(Pages::Kept),
                Some(false) => {}
                None => found = Pages::Unknown,
            }
            // To look may have made the system read.
            forget(file);
        }
        Ok(found)
    }

    /// Whether the system takes the wish. What was written just now can be dropped once it is on the disk.
    fn forget(path: &Path) -> bool {
        let Ok(file) = File::open(path) else { return false };
        // A file that cannot be written to the disk stays, and that is found out afterwards.
        let _ = file.sync_data();
        fadvise(&file, 0, None, Advice::DontNeed).is_ok()
    }

    /// Places all over the files: in many files their beginnings, in one its parts.
    fn places<'a>(files: &[&'a Path]) -> Result<Vec<(&'a Path, u64)>> {
        if let [file] = files {
            let bytes = file.metadata().map_err(Error::io("look at", file))?.len();
            let part = bytes / LOOKED_AT as u64;
            return Ok((0..LOOKED_AT as u64).map(|number| (*file, number * part)).collect());
        }
        let step = files.len().div_ceil(LOOKED_AT).max(1);
        Ok(files.iter().step_by(step).map(|file| (*file, 0)).collect())
    }

    /// Whether a byte of a file can be read without the disk; `None` where the file system does not tell.
    fn is_in_memory(path: &Path, offset: u64) -> Result<Option<bool>> {
        let file = File::open(path).map_err(Error::io("open", path))?;
        let mut byte = [0];
        Ok(match preadv2(&file, &mut [IoSliceMut::new(&mut byte)], offset, ReadWriteFlags::NOWAIT) {
            // Nothing was read of an empty file, which has no pages.
            Ok(read) => Some(read > 0),
            Err(Errno::AGAIN) => Some(false),
            Err(_) => None,
        })
    }
}

/// Other systems have no such call.
#[cfg(not(target_os = "linux"))]
pub(super) fn drop_files(_: &Set) -> Result<Pages> {
    Ok(Pages::Kept)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Forty files of a class.
    fn set_in(home: &Path) -> Set {
        let class = home.join("class");
        fs::create_dir(&class).unwrap();
        for number in 0..40 {
            fs::write(class.join(format!("{number}.jpg")), [7; 5000]).unwrap();
        }
        Set::open(home).unwrap()
    }

    #[test]
    fn a_set_is_read_whole_and_dropped_where_the_system_does_that() {
        let home = tempfile::tempdir().unwrap();
        let set = set_in(home.path());
        assert_eq!(read_through(&set, Duration::from_secs(60)).unwrap(), 40);
        assert_eq!(read_through(&set, Duration::ZERO).unwrap(), 0);
        // Whatever the file system does, the files stay what they are.
        drop_files(&set).unwrap();
        assert_eq!(*set.images(1).unwrap().bytes(39).unwrap(), [7; 5000]);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn files_that_are_nowhere_but_in_memory_are_not_called_dropped() {
        // A file system in memory, on every Linux.
        let home = tempfile::tempdir_in("/dev/shm").unwrap();
        assert_ne!(drop_files(&set_in(home.path())).unwrap(), Pages::Dropped);
    }

    #[test]
    fn every_number_is_worked_on_once() {
        let seen: Vec<AtomicUsize> = (0..100).map(|_| AtomicUsize::new(0)).collect();
        in_parallel(100, |index, _| {
            seen[index].fetch_add(1, Ordering::Relaxed);
        });
        assert!(seen.into_iter().all(|count| count.into_inner() == 1));
        in_parallel(0, |_, _| panic!("there is nothing to do"));
    }
}
