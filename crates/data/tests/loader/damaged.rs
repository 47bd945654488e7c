//! Files that cannot be decoded, among others that can.

use std::fs;

use ocelli_cuda::Device;
use ocelli_data::augment::Augmentation;
use ocelli_data::images::{ImageFolder, Rgb};
use ocelli_data::jpeg::{Header, Route};
use ocelli_data::loader::{DecodedForm, LoaderConfig, OnDamaged};
use ocelli_data::{Error, IGNORED};

use crate::files::{CMYK, frame};
use crate::support::{Copied, Files, LIMIT, epoch, in_order, jpeg, levels, picture, png, within};

/// Which file of a set is bad, by its number.
const BAD: usize = 3;

/// Where a file's scan begins, after the segment that says so.
fn scan(file: &[u8]) -> usize {
    let segment = file.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap();
    segment + 2 + usize::from(u16::from_be_bytes([file[segment + 2], file[segment + 3]]))
}

/// Files that no decoder takes, and words of the error that says so.
fn bad_files() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let good = jpeg(&picture(61, 43, 3));
    let at = frame(&good);
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut file = good.clone();
        change(&mut file);
        file
    };
    vec![
        ("cut short in the header", good[..at + 4].to_vec(), "unexpected end of file"),
        ("cut short before the scan", good[..scan(&good)].to_vec(), "a scan without an end"),
        ("cut short in the scan", good[..(scan(&good) + good.len()) / 2].to_vec(), "a scan without an end"),
        ("without the mark of its end", good[..good.len() - 2].to_vec(), "a scan without an end"),
        ("a CMYK file cut short", CMYK[..CMYK.len() * 3 / 4].to_vec(), "a scan without an end"),
        ("a PNG file cut short", png(picture(61, 43, 3))[..200].to_vec(), "unexpected end of file"),
        ("nothing", Vec::new(), "format could not be determined"),
        (
            "text",
            b"This is no image, whatever the name of its file says.".to_vec(),
            "format could not be determined",
        ),
        (
            "samples of 12 bits",
            changed(&|file| (file[at + 1], file[at + 4]) = (0xc1, 12)),
            "samples of 12 bits",
        ),
        ("arithmetic coding", changed(&|file| file[at + 1] = 0xc9), "arithmetic coding"),
        (
            "more pixels than are allowed",
            changed(&|file| file[at + 5..at + 9].copy_from_slice(&[0xff, 0xdc, 0xff, 0xdc])),
            "65500 x 65500",
        ),
        ("no pixels", changed(&|file| file[at + 5..at + 9].fill(0)), "width or height is set to zero"),
    ]
}

/// Not one goes to the engines, where it would cost the other images of its batch a second attempt.
#[test]
fn bad_files_are_refused_by_the_host_and_kept_from_the_engines() {
    for (name, file, _) in bad_files() {
        let route = Header::parse(&file).map(|header| header.route());
        if name == "more pixels than are allowed" {
            // That is for the loader to see.
            assert_eq!(route, Ok(Route::Hardware));
            continue;
        }
        let error = Rgb::decode(&file, name.as_ref()).map(|image| (image.width, image.height)).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        assert!(!matches!(route, Ok(Route::Hardware | Route::Cuda(_))), "{name}: {route:?}");
    }
}

/// Seven images of two classes; the bad one is the fourth.
fn set(bad: &[u8]) -> Files {
    let files = Files::new();
    for index in 0..7 {
        let class = if index < 5 { "ant" } else { "bee" };
        let image = picture(50 + 7 * index, 90 - 8 * index, index);
        let good = if index % 2 == 0 { png(image) } else { jpeg(&image) };
        files.add(&format!("{class}/{index}.jpg"), if index as usize == BAD { bad } else { &good });
    }
    files
}

fn config(damaged: OnDamaged) -> LoaderConfig {
    LoaderConfig {
        batch: 3,
        augmentation: Augmentation::imagenet_training(32),
        output: levels(),
        damaged,
        workers: 3,
        ..LoaderConfig::default()
    }
}

/// What the batches are with a good image instead of the bad one.
fn without_damage(device: &Device) -> Vec<Copied> {
    epoch(&in_order(device, set(&jpeg(&picture(61, 43, 3))).folder(), config(OnDamaged::Fail)), 0)
}

/// What a file that is listed, and then removed, is called here.
const VANISHED: &str = "a file that is gone";

/// The folder of files; the bad one may vanish after it has been listed.
fn listed(files: &Files, vanishes: bool) -> ImageFolder {
    if !vanishes {
        return files.folder();
    }
    files.add("ant/3.jpg", b"soon gone");
    let folder = files.folder();
    fs::remove_file(files.path("ant/3.jpg")).unwrap();
    folder
}

/// An epoch of a set whose fourth image is bad, whatever is to happen then.
fn check(device: &Device, files: &Files, name: &str, words: &str, good: &[Copied]) {
    let path = files.path("ant/3.jpg");
    let batches = |damaged| {
        let loader = in_order(device, listed(files, name == VANISHED), config(damaged));
        let batches = loader.epoch(0).unwrap();
        (within(LIMIT, move || batches.collect::<Vec<_>>()), loader)
    };

    let (failing, loader) = batches(OnDamaged::Fail);
    assert_eq!(failing.len(), 2, "{name}: nothing follows an error");
    assert!(Copied::of(device, failing[0].as_ref().unwrap()) == good[0], "{name}");
    let error = failing[1].as_ref().unwrap_err().to_string();
    assert!(error.contains("3.jpg") && error.contains(words), "{name}: {error}");
    assert_eq!(loader.damaged(), [(path.clone(), error.clone())], "{name}");

    let (skipping, loader) = batches(OnDamaged::Skip);
    let skipping: Vec<_> = skipping.into_iter().map(Result::unwrap).collect();
    let found: Vec<_> = skipping.iter().map(|batch| Copied::of(device, batch)).collect();
    assert!(found[0] == good[0] && found[2] == good[2], "{name}");
    assert_eq!((&found[1].valid[..], found[1].state), (&[false, true, true][..], good[1].state), "{name}");
    assert_eq!(found[1].labels, [IGNORED, 0, 1], "{name}");
    assert!(found[1].place(0).iter().all(|&byte| byte == 0), "{name}: the place is not black");
    for place in 1..3 {
        assert!(found[1].place(place) == good[1].place(place), "{name}: place {place} has changed");
    }
    let noted: Vec<_> = skipping.iter().flat_map(|batch| &batch.damaged).collect();
    assert_eq!(noted.len(), 1, "{name}");
    assert_eq!((noted[0].place, noted[0].index, noted[0].replaced_by), (0, BAD, None), "{name}");
    assert_eq!((&noted[0].path, noted[0].error.to_string()), (&path, error.clone()), "{name}");
    assert_eq!((loader.statistics().damaged, loader.statistics().images()), (1, 6), "{name}");
    assert_eq!(loader.damaged(), [(path.clone(), error.clone())], "{name}");

    let (replacing, loader) = batches(OnDamaged::Replace);
    let replacing: Vec<_> = replacing.into_iter().map(Result::unwrap).collect();
    let found: Vec<_> = replacing.iter().map(|batch| Copied::of(device, batch)).collect();
    assert!(found[0] == good[0] && found[2] == good[2], "{name}");
    assert_eq!((&found[1].valid[..], &found[1].indices[..]), (&[true; 3][..], &[4, 4, 5][..]), "{name}");
    assert_eq!(found[1].labels, [0, 0, 1], "{name}");
    for (place, other) in [(0, 1), (1, 1), (2, 2)] {
        assert!(found[1].place(place) == good[1].place(other), "{name}: place {place}");
    }
    let noted: Vec<_> = replacing.iter().flat_map(|batch| &batch.damaged).collect();
    assert_eq!(noted.len(), 1, "{name}");
    assert_eq!((noted[0].place, noted[0].index, noted[0].replaced_by), (0, BAD, Some(4)), "{name}");
    assert_eq!((loader.statistics().damaged, loader.statistics().images()), (1, 7), "{name}");
    assert_eq!(loader.damaged(), [(path, error)], "{name}");
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn a_bad_file_fails_is_skipped_or_replaced_and_leaves_the_others_alone() {
    let device = Device::new(0).unwrap();
    let good = without_damage(&device);
    for (name, file, words) in bad_files() {
        check(&device, &set(&file), name, words, &good);
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn a_file_that_vanishes_is_a_bad_one() {
    let device = Device::new(0).unwrap();
    let good = without_damage(&device);
    check(&device, &set(b""), VANISHED, "cannot read", &good);
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn images_of_too_many_pixels_are_not_decoded() {
    let device = Device::new(0).unwrap();
    for file in [jpeg(&picture(61, 43, 3)), png(picture(61, 43, 3))] {
        let files = Files::new();
        files.add("ant/0.jpg", &jpeg(&picture(60, 43, 3)));
        files.add("ant/1.jpg", &file);
        let config = LoaderConfig { batch: 1, max_pixels: 60 * 43, ..config(OnDamaged::Fail) };
        let loader = in_order(&device, files.folder(), config);
        let mut batches = loader.epoch(0).unwrap();
        assert_eq!(batches.next().unwrap().unwrap().count(), 1);
        let error = batches.next().unwrap().unwrap_err();
        assert!(matches!(error, Error::Unfit { .. }), "{error}");
        let error = error.to_string();
        assert!(
            error.contains("1.jpg") && error.contains("61 x 43") && error.contains("max_pixels"),
            "{error}"
        );
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn two_bad_files_in_turn_are_replaced_by_the_next_good_one() {
    let device = Device::new(0).unwrap();
    let good = without_damage(&device);
    let files = set(b"");
    files.add("ant/4.jpg", b"nothing either");
    let loader = in_order(&device, files.folder(), config(OnDamaged::Replace));
    let batches = epoch(&loader, 0);
    assert_eq!(batches[1].indices, [5, 5, 5]);
    assert_eq!(batches[1].labels, [1, 1, 1]);
    for place in 0..3 {
        assert!(batches[1].place(place) == good[1].place(2));
    }
    let paths: Vec<_> = loader.damaged().into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, [files.path("ant/3.jpg"), files.path("ant/4.jpg")]);
}

/// The last image is followed by the first.
#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn the_last_image_is_replaced_by_the_first() {
    let device = Device::new(0).unwrap();
    let files = set(&jpeg(&picture(61, 43, 3)));
    files.add("bee/6.jpg", b"");
    let batches = epoch(&in_order(&device, files.folder(), config(OnDamaged::Replace)), 0);
    assert_eq!((batches[2].indices[0], batches[2].labels[0]), (0, 0));
    assert!(batches[2].place(0) == without_damage(&device)[0].place(0));
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn a_set_of_nothing_but_bad_files_is_an_error_or_empty() {
    let device = Device::new(0).unwrap();
    let files = Files::new();
    for index in 0..5 {
        files.add(&format!("ant/{index}.jpg"), b"no image");
    }
    for damaged in [OnDamaged::Fail, OnDamaged::Replace] {
        let batches = in_order(&device, files.folder(), config(damaged)).epoch(0).unwrap();
        let batches = within(LIMIT, move || batches.collect::<Vec<_>>());
        assert_eq!(batches.len(), 1);
        let error = batches[0].as_ref().unwrap_err().to_string();
        assert!(error.contains(".jpg"), "{error}");
    }
    let loader = in_order(&device, files.folder(), config(OnDamaged::Skip));
    let batches: Vec<_> = loader.epoch(0).unwrap().map(Result::unwrap).collect();
    assert_eq!(batches.len(), 2);
    for batch in &batches {
        assert_eq!((batch.count(), &batch.labels[..]), (0, &[IGNORED; 3][..]));
        assert_eq!(batch.shape(), [3, 32, 32, 3], "all batches have one shape");
        assert!(Copied::of(&device, batch).images.iter().all(|&byte| byte == 0));
    }
    assert_eq!((loader.statistics().damaged, loader.damaged().len()), (5, 5));
}

/// A file whose header and end are right, with damage in its scan that may or may not stop a decoder.
fn damaged_scans(good: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let (start, end) = (scan(good), good.len() - 2);
    let middle = (start + end) / 2;
    let changed = |change: &dyn Fn(&mut [u8])| {
        let mut file = good.to_vec();
        change(&mut file);
        file
    };
    let flip = |file: &mut [u8], step: usize| {
        // Marks are neither made nor undone.
        for place in (start + 2..end - 1).step_by(step) {
            let [before, byte] = [file[place - 1], file[place]];
            if before != 0xff && byte != 0xff && byte ^ 0x5a != 0xff {
                file[place] ^= 0x5a;
            }
        }
    };
    vec![
        ("one byte", changed(&|file| flip(file, end))),
        ("many bytes", changed(&|file| flip(file, 7))),
        ("nothing but ones", changed(&|file| file[middle..middle + 40].fill(0xfe))),
        ("nothing but zeros", changed(&|file| file[middle..end].fill(0))),
        ("an early end", changed(&|file| file[middle..middle + 2].copy_from_slice(&[0xff, 0xd9]))),
        (
            "a restart that none expects",
            changed(&|file| {
                file[middle..middle + 2].copy_from_slice(&[0xff, 0xd3]);
            }),
        ),
        ("half of the scan", [&good[..middle], &[0xff, 0xd9]].concat()),
    ]
}

/// Whatever the decoders make of such a file, the others of its batch are what they are without it.
#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn damage_in_a_scan_does_not_reach_the_other_images_of_a_batch() {
    const MIDDLE: usize = 17;
    let device = Device::new(0).unwrap();
    let file = |index: u32| jpeg(&picture(60 + index, 100 - index, index));
    let set = |middle: &[u8]| {
        let files = Files::new();
        for index in 0..40 {
            let good = file(index);
            let bytes = if index as usize == MIDDLE { middle } else { &good };
            files.add(&format!("ant/{index:02}.jpg"), bytes);
        }
        files
    };
    let good = file(MIDDLE as u32);
    for (hardware_share, decoded) in
        [(1.0, DecodedForm::Planes), (1.0, DecodedForm::Rgb), (0.0, DecodedForm::default())]
    {
        let config = LoaderConfig { batch: 40, hardware_share, decoded, ..config(OnDamaged::Skip) };
        let files = set(&good);
        let loader = in_order(&device, files.folder(), config.clone());
        let expected = [epoch(&loader, 0), epoch(&loader, 1)].concat();
        for (name, bytes) in damaged_scans(&good) {
            let files = set(&bytes);
            let loader = in_order(&device, files.folder(), config.clone());
            // A second epoch: nothing of the damage is left in the decoders.
            for number in 0..2 {
                let batches = loader.epoch(number as u64).unwrap();
                let batches = within(LIMIT, move || batches.collect::<Vec<_>>());
                assert_eq!(batches.len(), 1);
                let batch = batches[0].as_ref().unwrap_or_else(|error| panic!("{name}: {error}"));
                let found = Copied::of(&device, batch);
                assert_eq!(batch.damaged.len(), usize::from(!batch.valid[MIDDLE]), "{name}");
                for place in (0..40).filter(|&place| place != MIDDLE) {
                    assert!(batch.valid[place], "{name}: {place} is not valid");
                    let expected = expected[number].place(place);
                    assert!(found.place(place) == expected, "{name}: place {place} has changed");
                }
                let listed = loader.damaged().iter().any(|(path, _)| path.ends_with("17.jpg"));
                assert_eq!(listed, !batch.valid[MIDDLE], "{name}");
            }
        }
    }
}
