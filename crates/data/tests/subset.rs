//! Parts of sets, copied.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

#[path = "support/pictures.rs"]
mod pictures;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use ocelli_data::images::ImageFolder;
use ocelli_data::records::{Records, Writer};
use ocelli_data::subset::{Amount, Choice, Subset, copy};
use ocelli_data::{Encoded, Error, ImageSet, Kind, Result, Target};
use tempfile::TempDir;

use pictures::{files, save};

/// 10 files of class ant, 3 of bee, 25 of cat, each of other bytes; copying looks at none.
fn set() -> (TempDir, ImageSet) {
    let home = tempfile::tempdir().unwrap();
    for (class, count) in [("ant", 10), ("bee", 3), ("cat", 25)] {
        for index in 0..count {
            let folder = if index % 2 == 0 { "" } else { "odd/" };
            let bytes = format!("{class} {index}").repeat(index);
            save(&home.path().join("set"), &format!("{class}/{folder}{index}.jpg"), bytes.as_bytes());
        }
    }
    let set = ImageSet::open(&home.path().join("set")).unwrap();
    (home, set)
}

fn choose(set: &ImageSet, amount: Amount, seed: u64) -> Vec<usize> {
    Choice { amount, seed, ..Choice::default() }.indices(set).unwrap()
}

/// How many files of each class.
fn counts(set: &ImageSet, indices: &[usize]) -> Vec<usize> {
    let mut counts = vec![0; set.classes().len()];
    indices.iter().for_each(|&index| counts[set.labels()[index]] += 1);
    counts
}

fn copied(set: &ImageSet, choice: &Choice, path: &Path) -> Result<Subset> {
    copy(set, choice, &Target::new(path), 3, |_| ())
}

/// The file names in a directory.
fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn as_many_are_chosen_as_asked_for() {
    let (_home, set) = set();
    for (amount, expected) in [
        (Amount::All, [10, 3, 25]),
        (Amount::PerClass(1), [1, 1, 1]),
        (Amount::PerClass(4), [4, 3, 4]),
        (Amount::PerClass(usize::MAX), [10, 3, 25]),
        (Amount::Fraction(0.1), [1, 1, 3]),
        (Amount::Fraction(0.5), [5, 2, 13]),
        (Amount::Fraction(1e-300), [1, 1, 1]),
        (Amount::Fraction(1.0), [10, 3, 25]),
        (Amount::Count(38), [10, 3, 25]),
    ] {
        let chosen = choose(&set, amount, 7);
        assert_eq!(counts(&set, &chosen), expected, "{amount:?}");
        assert!(chosen.is_sorted_by(|a, b| a < b), "{amount:?}");
    }
    assert_eq!(choose(&set, Amount::Count(7), 7).len(), 7);
}

#[test]
fn a_choice_is_the_same_each_time_and_a_part_of_every_larger_one() {
    let (_home, set) = set();
    let amounts: [fn(usize) -> Amount; 3] =
        [Amount::PerClass, Amount::Count, |count| Amount::Fraction(count as f64 / 25.0)];
    for amount in amounts {
        let of = |count, seed| choose(&set, amount(count), seed).into_iter().collect::<BTreeSet<usize>>();
        for count in 1..20 {
            assert_eq!(of(count, 3), of(count, 3));
            assert!(of(count, 3).is_subset(&of(count + 1, 3)), "{count}");
        }
        let drawn: BTreeSet<BTreeSet<usize>> = (0..20).map(|seed| of(5, seed)).collect();
        assert!(drawn.len() > 15, "{}", drawn.len());
    }
    // What is drawn of a class does not depend on which others are chosen.
    let alone = Choice { classes: Some(vec!["cat".into()]), amount: Amount::PerClass(4), seed: 3 };
    let all = choose(&set, Amount::PerClass(4), 3);
    let cats: Vec<usize> = all.into_iter().filter(|&index| set.labels()[index] == 2).collect();
    assert_eq!(alone.indices(&set).unwrap(), cats);
}

#[test]
fn every_file_is_drawn_equally_often() {
    let (_home, set) = set();
    let mut drawn = vec![0u32; set.len()];
    for seed in 0..2000 {
        choose(&set, Amount::Count(10), seed).into_iter().for_each(|index| drawn[index] += 1);
    }
    // 20,000 draws of 38; the deviation of one count is about 20.
    let expected = 20_000.0 / 38.0;
    assert!(drawn.iter().all(|&count| (f64::from(count) - expected).abs() < 100.0), "{drawn:?}");
}

#[test]
fn a_directory_has_the_same_files_under_the_same_names() {
    let (home, set) = set();
    let path = home.path().join("part");
    let choice = Choice { amount: Amount::PerClass(2), seed: 1, ..Choice::default() };
    let mut done = Vec::new();
    let subset = copy(&set, &choice, &Target::new(&path), 4, |count| done.push(count)).unwrap();
    let expected: Vec<(String, Vec<u8>)> = choice
        .indices(&set)
        .unwrap()
        .into_iter()
        .map(|index| {
            let name = set.name_within(index).to_str().unwrap().to_owned();
            (name, set.bytes(index).unwrap().into_owned())
        })
        .collect();
    let found = files(&path);
    let mut sorted = expected.clone();
    sorted.sort();
    assert_eq!(found, sorted);
    assert!(done.into_iter().eq(1..=6));
    let bytes = expected.iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>();
    assert_eq!((subset.images, subset.classes, subset.empty_classes, subset.bytes), (6, 3, 0, bytes));
    assert_eq!(ImageFolder::open(&path).unwrap().classes(), ["ant", "bee", "cat"]);
    assert_eq!(names(home.path()), ["part", "set"]);
}

#[test]
fn a_record_file_has_the_chosen_classes_in_their_order() {
    let (home, set) = set();
    let path = home.path().join("part.records");
    let choice =
        Choice { classes: Some(vec!["cat".into(), "ant".into(), "cat".into()]), ..Choice::default() };
    let subset = copied(&set, &choice, &path).unwrap();
    assert_eq!((subset.images, subset.classes), (35, 2));
    let records = Records::open(&path).unwrap();
    assert_eq!(records.classes(), ["ant", "cat"]);
    let labels: Vec<i32> = records.labels().collect();
    assert_eq!(labels, [vec![0; 10], vec![1; 25]].concat());
    for (record, index) in choice.indices(&set).unwrap().into_iter().enumerate() {
        assert_eq!(records.get(record).unwrap(), &*set.bytes(index).unwrap());
        assert_eq!(Path::new(records.name(record).unwrap()), set.name_within(index));
    }

    // And back into a directory, which is as the first.
    let back = home.path().join("back");
    copied(&ImageSet::open(&path).unwrap(), &Choice::default(), &back).unwrap();
    let mut expected = files(set.path());
    expected.retain(|(name, _)| !name.starts_with("bee"));
    assert_eq!(files(&back), expected);
}

#[test]
fn a_class_of_which_nothing_was_drawn_keeps_its_number_in_a_record_file() {
    let (home, set) = set();
    let amount = Amount::Count(1);
    let seed = (0..100)
        .find(|&seed| counts(&set, &choose(&set, amount, seed)) == [0, 0, 1])
        .expect("one in a hundred draws is a cat");
    let choice = Choice { amount, seed, ..Choice::default() };
    let path = home.path().join("one.records");
    let subset = copied(&set, &choice, &path).unwrap();
    assert_eq!((subset.images, subset.classes, subset.empty_classes), (1, 1, 2));
    let records = Records::open(&path).unwrap();
    assert_eq!((records.classes().len(), records.labels().next()), (3, Some(2)));
    let path = home.path().join("one");
    copied(&set, &choice, &path).unwrap();
    assert_eq!(names(&path), ["cat"]);
}

#[test]
fn choices_that_cannot_be_are_errors() {
    let (home, set) = set();
    let path = home.path().join("part");
    let with = |amount| Choice { amount, ..Choice::default() };
    let of = |classes: &[&str]| Choice {
        classes: Some(classes.iter().map(|&class| class.into()).collect()),
        ..Choice::default()
    };
    for (choice, expected) in [
        (with(Amount::PerClass(0)), "no subset"),
        (with(Amount::Count(0)), "no subset"),
        (with(Amount::Count(39)), "38 images"),
        (with(Amount::Fraction(0.0)), "no share"),
        (with(Amount::Fraction(1.01)), "no share"),
        (with(Amount::Fraction(-0.5)), "no share"),
        (with(Amount::Fraction(f64::NAN)), "no share"),
        (of(&["ant", "dog"]), "no class `dog`: it has ant, bee, cat"),
        (of(&[]), "no class is chosen"),
        (Choice { amount: Amount::Count(4), ..of(&["bee"]) }, "3 images"),
    ] {
        let error = copied(&set, &choice, &path).unwrap_err();
        assert!(matches!(error, Error::Setting { .. }) && error.to_string().contains(expected), "{error}");
    }
    assert_eq!(names(home.path()), ["set"]);
}

#[test]
fn what_is_there_is_replaced_only_when_allowed_and_only_by_its_like() {
    let (home, set) = set();
    let choice = Choice { amount: Amount::PerClass(1), ..Choice::default() };
    let [directory, file] = ["part", "part.records"].map(|name| home.path().join(name));
    for path in [&directory, &file] {
        copied(&set, &choice, path).unwrap();
        let before = if path.is_dir() { files(path) } else { vec![(String::new(), fs::read(path).unwrap())] };
        let error = copied(&set, &Choice::default(), path).unwrap_err().to_string();
        assert!(error.contains("exists already"), "{error}");
        let after = if path.is_dir() { files(path) } else { vec![(String::new(), fs::read(path).unwrap())] };
        assert_eq!(before, after);

        let target = Target { overwrite: true, ..Target::new(path) };
        copy(&set, &Choice::default(), &target, 2, |_| ()).unwrap();
        assert_eq!(ImageSet::open(path).unwrap().len(), 38);
        let other = if target.kind == Kind::Records { Kind::Directory } else { Kind::Records };
        let error = copy(&set, &choice, &Target { kind: other, ..target }, 2, |_| ()).unwrap_err();
        assert!(error.to_string().contains("director"), "{error}");
        assert_eq!(ImageSet::open(path).unwrap().len(), 38);
    }
    // A directory with anything else in it is not replaced.
    fs::write(directory.join("ant/mine.txt"), "mine").unwrap();
    let target = Target { overwrite: true, ..Target::new(&directory) };
    let error = copy(&set, &choice, &target, 2, |_| ()).unwrap_err().to_string();
    assert!(error.contains("more than folders of images"), "{error}");
    assert_eq!(fs::read(directory.join("ant/mine.txt")).unwrap(), b"mine");
    assert_eq!(names(home.path()), ["part", "part.records", "set"]);
}

#[test]
fn a_set_is_not_copied_into_itself_or_around_itself() {
    let (home, set) = set();
    let before = files(home.path());
    for path in ["set", "set/part", "set/ant/part", "set/ant/../part", "."] {
        let target = Target { overwrite: true, ..Target::new(&home.path().join(path)) };
        let error = copy(&set, &Choice::default(), &target, 2, |_| ()).unwrap_err();
        assert!(matches!(error, Error::Setting { .. } | Error::Io { .. }), "{path}: {error}");
    }
    assert_eq!(files(home.path()), before);
}

#[test]
fn a_file_that_cannot_be_read_leaves_nothing_behind() {
    let (home, set) = set();
    fs::remove_file(home.path().join("set/cat/odd/9.jpg")).unwrap();
    for name in ["part", "part.records"] {
        let error = copied(&set, &Choice::default(), &home.path().join(name)).unwrap_err();
        assert!(matches!(&error, Error::Io { path, .. } if path.ends_with("cat/odd/9.jpg")), "{error}");
        assert_eq!(names(home.path()), ["set"]);
    }
    for name in ["none/part", "none/part.records"] {
        let error = copied(&set, &Choice::default(), &home.path().join(name)).unwrap_err();
        assert!(matches!(&error, Error::Io { path, .. } if path.ends_with(name)), "{error}");
    }
}

/// A record file of these names, all of the first class.
fn forged(path: &Path, classes: &[&str], names: &[&str]) -> ImageSet {
    let classes: Vec<String> = classes.iter().map(|&class| class.into()).collect();
    let mut writer = Writer::create(path, &classes).unwrap();
    for (number, name) in (0u8..).zip(names) {
        writer.write(&[number], 0, name).unwrap();
    }
    writer.finish().unwrap();
    ImageSet::open(path).unwrap()
}

#[test]
fn names_of_records_do_not_lead_out_of_the_directory() {
    let home = tempfile::tempdir().unwrap();
    let evil = [
        "dog/a.jpg",
        "../evil.jpg",
        "/evil.jpg",
        "dog/../../evil.jpg",
        "cat/a.jpg",
        "dog.jpg",
        "./dog/b.PNG",
        "dog/more/c.jpg",
    ];
    let set = forged(&home.path().join("set.records"), &["dog", "cat"], &evil);
    let path = home.path().join("here/part");
    fs::create_dir(home.path().join("here")).unwrap();
    copied(&set, &Choice::default(), &path).unwrap();
    let expected = [
        ("dog/00000001.jpg", 1),
        ("dog/00000002.jpg", 2),
        ("dog/00000003.jpg", 3),
        ("dog/00000004.jpg", 4),
        ("dog/00000005.jpg", 5),
        ("dog/00000006.png", 6),
        ("dog/a.jpg", 0),
        ("dog/more/c.jpg", 7),
    ];
    let expected = expected.map(|(name, byte)| (name.to_owned(), vec![byte]));
    assert_eq!(files(&path), expected);
    assert_eq!(names(home.path()), ["here", "set.records"]);
    assert_eq!(names(&home.path().join("here")), ["part"]);
}

#[test]
fn records_without_a_place_in_a_directory_are_errors_and_stay_records() {
    let home = tempfile::tempdir().unwrap();
    for (classes, record, expected) in [
        (&[".."][..], "../a.jpg", "cannot name a folder"),
        (&["a/b"], "a/b/c.jpg", "cannot name a folder"),
        (&[""], "a.jpg", "cannot name a folder"),
        (&["dog"], "dog/a.txt", "does not end in"),
        (&["dog"], "", "does not end in"),
    ] {
        let set = forged(&home.path().join("set.records"), classes, &[record]);
        let error = copied(&set, &Choice::default(), &home.path().join("part")).unwrap_err();
        assert!(matches!(error, Error::Unfit { .. }) && error.to_string().contains(expected), "{error}");
        assert_eq!(names(home.path()), ["set.records"]);
        let path = home.path().join("part.records");
        copied(&set, &Choice::default(), &path).unwrap();
        assert_eq!(Records::open(&path).unwrap().name(0), Some(record));
        fs::remove_file(path).unwrap();
    }
    let set = forged(&home.path().join("set.records"), &["dog"], &["dog/a.jpg", "dog/a.jpg"]);
    let error = copied(&set, &Choice::default(), &home.path().join("part")).unwrap_err();
    assert!(matches!(&error, Error::Io { path, .. } if path.ends_with("part/dog/a.jpg")), "{error}");
    assert_eq!(names(home.path()), ["set.records"]);
}

#[test]
fn labels_without_names_are_classes_named_by_number() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("set.records");
    let mut writer = Writer::create(&path, &[]).unwrap();
    for (label, name) in [(12, "a.jpg"), (-3, "b.jpg"), (12, "c.jpg")] {
        writer.write(name.as_bytes(), label, name).unwrap();
    }
    writer.finish().unwrap();
    let set = ImageSet::open(&path).unwrap();
    assert_eq!((set.classes(), set.labels()), (&["-3".to_owned(), "12".to_owned()][..], &[1, 0, 1][..]));
    assert_eq!((set.label(0), set.label(3)), (1, ocelli_data::IGNORED));
    let part = home.path().join("part");
    let choice = Choice { classes: Some(vec!["12".into()]), ..Choice::default() };
    copied(&set, &choice, &part).unwrap();
    let found: Vec<String> = files(&part).into_iter().map(|(name, _)| name).collect();
    assert_eq!(found, ["12/00000000.jpg", "12/00000002.jpg"]);
    // In a record file they stay labels without names.
    let part = home.path().join("part.records");
    copied(&set, &choice, &part).unwrap();
    let records = Records::open(&part).unwrap();
    assert_eq!((records.classes().len(), records.labels().collect::<Vec<_>>()), (0, vec![12, 12]));
}
