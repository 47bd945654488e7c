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
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::Duration;

    use ocelli_data::loader::OnDamaged;
    use rustix::fs::{Advice, fadvise};
    use rustix::io::{Errno, ReadWriteFlags, preadv2};

    use super::{Pages, in_parallel};
    use crate::bench_loader::error::{Error, Result};
    use crate::bench_loader::set::Set;

    /// How many places of the files are looked at afterwards.
    const LOOKED_AT: usize = 16;
    /// How often a place is looked at that seems to stay in memory.
    pub(super) const LOOKS: usize = 3;
    /// How long it is let alone between two looks.
    pub(super) const PAUSE: Duration = Duration::from_millis(20);

    /// Asks the system to drop the set's files from its memory, and looks whether it did. Images' files that cannot be opened
    /// are passed over where the loader would go on without them.
    ///
    /// # Errors
    /// Those of the loader, [`Error::of_batch`], for another file of an image; [`Error::Data`] and [`Error::Io`] for a record
    /// file that cannot be opened or looked at. All name the file.
    pub(in crate::bench_loader) fn drop_files(set: &Set, damaged: OnDamaged) -> Result<Pages> {
        let files = set.files();
        let (refused, unopened) = (AtomicBool::new(false), OnceLock::new());
        in_parallel(files.len(), |index, _| match files.get(index).map(|file| forget(file)) {
            Some(Ok(false)) => refused.store(true, Ordering::Relaxed),
            Some(Err(error)) if passed_over(set, damaged, &error) => {}
            // One of them is enough to be told.
            Some(Err(error)) => drop(unopened.set(error)),
            Some(Ok(true)) | None => {}
        });
        if let Some(error) = unopened.into_inner() {
            return Err(if set.is_packed() { error.into() } else { Error::of_batch(error, damaged) });
        }
        if refused.into_inner() {
            return Ok(Pages::Kept);
        }
        let mut found = Pages::Dropped;
        for (file, offset) in places(&files)? {
            // What cannot be opened was told above, or is passed over.
            match look(file, offset).unwrap_or(Pages::Dropped) {
                Pages::Kept => return Ok(Pages::Kept),
                Pages::Dropped => {}
                Pages::Unknown => found = Pages::Unknown,
            }
        }
        Ok(found)
    }

    /// Whether the loader goes on without a file: without one of many, and where the fault is its own.
    pub(super) fn passed_over(set: &Set, damaged: OnDamaged, error: &ocelli_data::Error) -> bool {
        damaged != OnDamaged::Fail && !set.is_packed() && error.is_of_one_image()
    }

    /// What became of a byte of a file. To look makes the system read, and a fast disk may have read before the look is over;
    /// and what was written just now may be held for a moment longer. So what is found in memory is forgotten once more, and
    /// looked at again a little later.
    fn look(path: &Path, offset: u64) -> Result<Pages> {
        for _ in 0..LOOKS {
            let is_there = is_in_memory(path, offset)?;
            forget(path)?;
            match is_there {
                Some(true) => thread::sleep(PAUSE),
                Some(false) => return Ok(Pages::Dropped),
                None => return Ok(Pages::Unknown),
            }
        }
        Ok(Pages::Kept)
    }

    /// Whether the system takes the wish. What was written just now can be dropped once it is on the disk.
    fn forget(path: &Path) -> Result<bool, ocelli_data::Error> {
        let unopened = |source| ocelli_data::Error::Io { action: "open", path: path.into(), source };
        let file = File::open(path).map_err(unopened)?;
        // A file that cannot be written to the disk stays, and that is found out afterwards.
        let _ = file.sync_data();
        Ok(fadvise(&file, 0, None, Advice::DontNeed).is_ok())
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
    pub(super) fn is_in_memory(path: &Path, offset: u64) -> Result<Option<bool>> {
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
pub(super) fn drop_files(_: &Set, _: ocelli_data::loader::OnDamaged) -> Result<Pages> {
    Ok(Pages::Kept)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use ocelli_data::loader::OnDamaged;
    use ocelli_data::subset::{self, Choice};
    use ocelli_data::{ImageSet, Kind, Target};

    use super::*;

    /// Forty files of a class, of so many bytes.
    fn set_in(home: &Path, bytes: usize) -> Set {
        let class = home.join("class");
        fs::create_dir(&class).unwrap();
        for number in 0..40 {
            fs::write(class.join(format!("{number}.jpg")), vec![7; bytes]).unwrap();
        }
        Set::open(home).unwrap()
    }

    /// What becomes of a file on this file system, when the system is told to forget it.
    #[cfg(target_os = "linux")]
    fn expected_in(home: &Path) -> Pages {
        let path = home.join("alone");
        fs::write(&path, [7; 5000]).unwrap();
        let file = fs::File::open(&path).unwrap();
        file.sync_all().unwrap();
        let mut looks = (0..linux::LOOKS).map(|_| {
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
            let is_there = linux::is_in_memory(&path, 0).unwrap();
            thread::sleep(linux::PAUSE);
            is_there
        });
        match looks.find(|look| *look != Some(true)) {
            None => Pages::Kept,
            Some(Some(_)) => Pages::Dropped,
            Some(None) => Pages::Unknown,
        }
    }

    #[test]
    fn a_set_is_read_whole_and_dropped_where_the_system_does_that() {
        let home = tempfile::tempdir().unwrap();
        let set = set_in(home.path(), 5000);
        assert_eq!(read_through(&set, Duration::from_secs(60)).unwrap(), 40);
        assert_eq!(read_through(&set, Duration::ZERO).unwrap(), 0);
        #[cfg(target_os = "linux")]
        let expected = expected_in(home.path());
        #[cfg(not(target_os = "linux"))]
        let expected = Pages::Kept;
        assert_eq!(drop_files(&set, OnDamaged::Fail).unwrap(), expected);
        // Whatever the file system does, the files stay what they are.
        assert_eq!(*set.images(1).unwrap().bytes(39).unwrap(), [7; 5000]);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn files_that_are_nowhere_but_in_memory_are_not_called_dropped() {
        // A file system in memory, on every Linux.
        let home = tempfile::tempdir_in("/dev/shm").unwrap();
        assert_ne!(drop_files(&set_in(home.path(), 5000), OnDamaged::Fail).unwrap(), Pages::Dropped);
        // Nothing of an empty file is in memory, wherever it is.
        let home = tempfile::tempdir_in("/dev/shm").unwrap();
        assert_ne!(drop_files(&set_in(home.path(), 0), OnDamaged::Fail).unwrap(), Pages::Kept);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_file_that_cannot_be_opened_is_not_called_kept() {
        let home = tempfile::tempdir().unwrap();
        let set = set_in(home.path(), 0);
        let gone = home.path().join("class/17.jpg");
        fs::remove_file(&gone).unwrap();
        let error = drop_files(&set, OnDamaged::Fail).unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot open {}: ", gone.display())), "{error}");
        assert!(error.ends_with("--skip-damaged"), "{error}");
        // The others can be dropped, or rather have nothing that could be kept.
        assert_ne!(drop_files(&set, OnDamaged::Skip).unwrap(), Pages::Kept);
        // Those among them that are looked at, too.
        fs::remove_dir_all(home.path().join("class")).unwrap();
        assert_ne!(drop_files(&set, OnDamaged::Skip).unwrap(), Pages::Kept);
    }

    /// Where the loader would end, this does.
    #[test]
    #[cfg(target_os = "linux")]
    fn what_is_not_a_files_own_fault_is_not_passed_over() {
        let home = tempfile::tempdir().unwrap();
        let set = set_in(home.path(), 0);
        let error = |number| ocelli_data::Error::Io {
            action: "open",
            path: "class/17.jpg".into(),
            source: std::io::Error::from_raw_os_error(number),
        };
        let (none_such, too_many) = (error(2), error(24));
        assert!(linux::passed_over(&set, OnDamaged::Skip, &none_such));
        assert!(!linux::passed_over(&set, OnDamaged::Skip, &too_many));
        assert!(!linux::passed_over(&set, OnDamaged::Fail, &none_such));
    }

    /// There is nothing to go on with.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_record_file_that_is_gone_is_no_damaged_image() {
        let home = tempfile::tempdir().unwrap();
        let folder = ImageSet::open(set_in(home.path(), 10).path()).unwrap();
        let path = home.path().join("set.records");
        let target = Target { path: path.clone(), kind: Kind::Records, overwrite: false };
        subset::copy(&folder, &Choice::default(), &target, 1, |_| {}).unwrap();
        let set = Set::open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        for damaged in [OnDamaged::Fail, OnDamaged::Skip] {
            let error = drop_files(&set, damaged).unwrap_err().to_string();
            assert!(error.starts_with(&format!("cannot open {}: ", path.display())), "{error}");
            assert!(!error.contains("--skip-damaged"), "{error}");
        }
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
