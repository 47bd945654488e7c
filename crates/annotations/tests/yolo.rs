//! YOLO's text files, in and out.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod folder;

use std::fs;
use std::ops::Deref;
use std::path::Path;

use ocelli_annotations::export;
use ocelli_annotations::import::{
    self, OnBadBox, Options, Outcome, Progress, Reason, Report, Source, yolo_names,
};
use ocelli_annotations::{
    Annotation, AnnotationId, BBox, Boxes, Category, CategoryId, Error, Filter, Image, ImageId, Result,
    Segmentation, Store,
};

use folder::Folder;

/// A directory with `labels`, `images` and what is put into them.
struct Dataset(Folder);

impl Deref for Dataset {
    type Target = Folder;

    fn deref(&self) -> &Folder {
        &self.0
    }
}

impl Dataset {
    fn new() -> Dataset {
        Dataset(Folder::with(["labels", "images"]))
    }

    fn source(&self, split: &str) -> Source {
        Source { split: split.into(), labels: self.path("labels"), images: self.path("images") }
    }

    fn import_with(&self, options: &Options) -> Result<(Store, Report)> {
        let store = self.path("store.ocelli");
        let report = import::yolo(&store, &[self.source("train")], &names(), options, |_| ())?;
        Ok((Store::open(store)?, report))
    }

    fn import(&self) -> (Store, Report) {
        self.import_with(&Options::default()).unwrap()
    }

    /// The message of an import that fails, and leaves nothing.
    fn error(&self) -> String {
        let error = self.import_with(&Options::default()).unwrap_err().to_string();
        let entries: Vec<_> =
            fs::read_dir(self.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(entries.iter().all(|name| name == "labels" || name == "images"), "{entries:?}");
        error
    }
}

fn names() -> Vec<String> {
    ["person", "traffic light", "car"].map(String::from).into()
}

fn boxes(store: &Store, image: i64) -> Vec<(i64, [f64; 4])> {
    let annotations = store.annotations_of(ImageId(image)).unwrap();
    annotations.into_iter().map(|annotation| (annotation.category.0, annotation.bbox.into())).collect()
}

#[test]
fn a_folder_is_imported() {
    let folder = Dataset::new();
    folder
        .image("images/b.PNG", 100, 50)
        .image("images/a/1.jpg", 200, 100)
        .image("images/c.d.jpeg", 10, 20)
        .image("images/empty.png", 7, 9)
        .file("images/readme.md", "no image")
        .file("images/.hidden.png", "no image")
        .file("labels/b.txt", "0 0.5 0.5 0.5 0.5\r\n\r\n  2 .25 0.5\t0.1 1e-1  \r\n")
        .file("labels/a/1.txt", "\u{feff}1 0.5 0.5 1 1\n")
        .file("labels/c.d.txt", "2 0.5 0.5 0.25 0.25")
        .file("labels/empty.txt", "")
        .file("labels/.hidden.txt", [0xff])
        .file("labels/classes.txt", "person\n");
    let (store, report) = folder.import();

    let images = store.images(&Filter::default()).unwrap();
    let image = |id, file_name: &str, width, height| Image {
        id: ImageId(id),
        file_name: file_name.into(),
        width,
        height,
    };
    let expected = [
        image(1, "a/1.jpg", 200, 100),
        image(2, "b.PNG", 100, 50),
        image(3, "c.d.jpeg", 10, 20),
        image(4, "empty.png", 7, 9),
    ];
    assert_eq!(images, expected);
    assert_eq!(boxes(&store, 1), [(1, [0.0, 0.0, 200.0, 100.0])]);
    assert_eq!(boxes(&store, 2), [(0, [25.0, 12.5, 50.0, 25.0]), (2, [20.0, 22.5, 10.0, 5.0])]);
    assert_eq!(boxes(&store, 3), [(2, [3.75, 7.5, 2.5, 5.0])]);
    let annotations = store.annotations(&Filter::default()).unwrap();
    assert_eq!(annotations.iter().map(|annotation| annotation.id.0).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(annotations[1].area, 1250.0);

    let categories = store.categories().unwrap();
    let categories: Vec<(i64, &str)> =
        categories.iter().map(|category| (category.id.0, &*category.name)).collect();
    assert_eq!(categories, [(0, "person"), (1, "traffic light"), (2, "car")]);
    assert_eq!((report.images, report.images_without_annotations, report.annotations), (4, 1, 4));
    assert!(report.entries.is_empty() && report.hints.is_empty(), "{report}");
    let split = &store.splits().unwrap()[0];
    assert_eq!((split.images, Path::new(&split.directory)), (4, &*folder.path("images")));
    assert!(store.meta("source/train").unwrap().unwrap().contains(r#""files":5"#));
}

#[test]
fn sources_are_numbered_on_and_progress_is_told() {
    let (train, val) = (Dataset::new(), Dataset::new());
    train.image("images/z.png", 8, 8).image("images/z.bmp", 8, 8).file("labels/z.txt", "0 0.5 0.5 0.5 0.5");
    val.image("images/a.png", 4, 4).file("labels/a.txt", "1 0.5 0.5 0.5 0.5\n1 0.5 0.5 0.5 0.5");
    let store = train.path("store");
    let mut last = None;
    let progress = |progress: Progress| {
        assert!(progress.read <= progress.total.unwrap());
        last = Some(progress);
    };
    import::yolo(
        &store,
        &[train.source("train"), val.source("val")],
        &names(),
        &Options::default(),
        progress,
    )
    .unwrap();
    let last = last.unwrap();
    assert_eq!((last.read, last.total), (52, Some(52)));
    let store = Store::open(store).unwrap();
    let of_val = Filter { split: Some("val".into()), ..Filter::default() };
    let annotations = store.annotations(&of_val).unwrap();
    let ids: Vec<_> = annotations.iter().map(|annotation| (annotation.image.0, annotation.id.0)).collect();
    // Two images share the labels of `z`.
    assert_eq!(ids, [(3, 3), (3, 4)]);
    assert_eq!(boxes(&store, 1), boxes(&store, 2));
}

#[test]
fn polygons_become_boxes_and_masks() {
    let folder = Dataset::new();
    folder
        .image("images/a.png", 100, 50)
        .file("labels/a.txt", "1 0.1 0.2 0.5 0.2 0.5 0.8\n0 0.5 0.5 0.5 0.5\n");
    let (store, _) = folder.import();
    let annotations = store.annotations_of(ImageId(1)).unwrap();
    let [x, y, width, height]: [f64; 4] = annotations[0].bbox.into();
    assert!(
        [x - 10.0, y - 10.0, width - 40.0, height - 30.0].iter().all(|difference| difference.abs() < 1e-9)
    );
    assert!((annotations[0].area - 600.0).abs() < 1e-9);
    let Some(Segmentation::Polygons(polygons)) = store.segmentation(AnnotationId(1)).unwrap() else {
        panic!()
    };
    assert_eq!(polygons, [[10.0, 10.0, 50.0, 10.0, 50.0, 40.0]]);
    assert_eq!(store.segmentation(AnnotationId(2)).unwrap(), None);

    fs::remove_file(folder.path("store.ocelli")).unwrap();
    let (store, _) = folder.import_with(&Options { boxes_only: true, ..Options::default() }).unwrap();
    assert_eq!(store.segmentation(AnnotationId(1)).unwrap(), None);
}

#[test]
fn lines_that_are_none_are_named() {
    for (line, expected) in [
        ("person 0.5 0.5 0.1 0.1", "\"person\" is no class"),
        ("-1 0.5 0.5 0.1 0.1", "\"-1\" is no class"),
        ("0.0 0.5 0.5 0.1 0.1", "\"0.0\" is no class"),
        ("3 0.5 0.5 0.1 0.1", "class 3 has no name: there are 3 names"),
        ("99999999999999999999 0.5 0.5 0.1 0.1", "is no class"),
        ("0 0.5 0.5 0.1", "3 numbers after the class"),
        ("0", "0 numbers after the class"),
        ("0 0.5 0.5 0.1 0.1 0.9", "a confidence"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.3 0.4", "7 numbers after the class"),
        ("0 0,5 0.5 0.1 0.1", "\"0,5\" is no finite number"),
        ("0 nan 0.5 0.1 0.1", "\"nan\" is no finite number"),
        ("0 0.5 0.5 inf 0.1", "\"inf\" is no finite number"),
        ("0 0.5 0.5 1e999 0.1", "\"1e999\" is no finite number"),
        ("0 0.5 0.5 0.1 0.1\r1 0.5 0.5 0.1 0.1", "a carriage return"),
    ] {
        let folder = Dataset::new();
        folder.image("images/a.png", 4, 4).file("labels/a.txt", format!("0 0.5 0.5 0.1 0.1\n\n{line}\n"));
        let error = folder.error();
        assert!(error.contains("a.txt: line 3: ") && error.contains(expected), "{line}: {error}");
    }
}

#[test]
fn long_words_are_cut_in_messages() {
    let folder = Dataset::new();
    folder.image("images/a.png", 4, 4).file("labels/a.txt", "é".repeat(100_000));
    let error = folder.error();
    assert!(error.contains("line 1: ") && error.len() < 2000, "{}", error.len());
}

#[test]
fn what_is_no_text_is_named() {
    let folder = Dataset::new();
    folder.image("images/a.png", 4, 4).file("labels/a.txt", b"0 0.5 0.5 0.1 0.1\n0 0.5\xff");
    assert!(folder.error().contains("a.txt: line 2: a byte is not UTF-8"), "{}", folder.error());
    // A file larger than memory, of which the disk holds nothing.
    fs::File::create(folder.path("labels/a.txt")).unwrap().set_len(1 << 40).unwrap();
    assert!(folder.error().contains("a.txt: it is larger than 64 MiB"), "{}", folder.error());
}

#[test]
fn labels_without_images_and_images_that_are_none_are_left_out() {
    let folder = Dataset::new();
    folder
        .image("images/a.png", 4, 4)
        .file("images/bad.png", "no image")
        .file("images/empty.jpg", "")
        .file("labels/a.txt", "0 0.5 0.5 0.5 0.5")
        .file("labels/bad.txt", "0 0.5 0.5 0.5 0.5")
        .file("labels/gone.txt", "0 0.5 0.5 0.5 0.5")
        .file("labels/b/a.txt", "0 0.5 0.5 0.5 0.5");
    let (store, report) = folder.import();
    assert_eq!((report.images, report.annotations), (1, 1));
    assert_eq!(store.images(&Filter::default()).unwrap()[0].id, ImageId(1));
    let which = |reason| {
        let entry = report.entries.iter().find(|entry| entry.reason == reason).unwrap();
        assert_eq!(entry.outcome, Outcome::Dropped);
        entry.which.clone()
    };
    let labels = |name| folder.path("labels").join(name).display().to_string();
    assert_eq!(which(Reason::NoImageFile), [labels("b/a.txt"), labels("gone.txt")]);
    let unreadable = which(Reason::UnreadableImage);
    assert_eq!(unreadable.len(), 2);
    assert!(
        unreadable[0].contains("images/bad.png") && unreadable[1].contains("images/empty.jpg"),
        "{unreadable:?}"
    );
}

#[test]
fn an_image_cut_short_after_its_header_still_has_a_size() {
    let folder = Dataset::new();
    folder.image("images/a.png", 640, 480).file("labels/a.txt", "");
    let whole = fs::read(folder.path("images/a.png")).unwrap();
    folder.file("images/a.png", &whole[..60]);
    assert_eq!(folder.import().1.images, 1);
    fs::remove_file(folder.path("store.ocelli")).unwrap();
    folder.file("images/a.png", &whole[..20]);
    assert_eq!(folder.import().1.count(Reason::UnreadableImage, Outcome::Dropped), 1);
}

#[test]
fn bad_boxes_are_treated_as_asked() {
    let folder = Dataset::new();
    // Good; beyond the left edge; of no width; outside.
    let lines = "0 0.5 0.5 0.5 0.5\n0 0 0.5 0.5 0.5\n0 0.5 0.5 0 0.5\n0 3 3 0.5 0.5\n";
    folder.image("images/a.png", 100, 100).image("images/b.png", 100, 100);
    folder.file("labels/a.txt", "1 0.5 0.5 0.5 0.5").file("labels/b.txt", lines);

    let (store, report) = folder.import();
    assert_eq!(boxes(&store, 2), [(0, [25.0, 25.0, 50.0, 50.0]), (0, [0.0, 25.0, 25.0, 50.0])]);
    assert_eq!(report.count(Reason::BeyondImage, Outcome::Repaired), 1);
    assert_eq!(report.count(Reason::EmptyBox, Outcome::Dropped), 1);
    assert_eq!(report.count(Reason::OutsideImage, Outcome::Dropped), 1);
    assert!(report.hints.is_empty(), "{report}");

    let with = |on_bad_box| Options { on_bad_box, overwrite: true, ..Options::default() };
    let (store, report) = folder.import_with(&with(OnBadBox::Drop)).unwrap();
    assert_eq!(boxes(&store, 2).len(), 1);
    assert_eq!((report.annotations, report.annotations_found), (2, 5));

    let error = folder.import_with(&with(OnBadBox::Error)).unwrap_err();
    assert!(matches!(&error, Error::BadBox { path, .. } if *path == folder.path("labels/b.txt")), "{error}");
    assert!(error.to_string().contains("box 2 of the file"), "{error}");
}

#[test]
fn directories_that_are_none_are_named() {
    let folder = Dataset::new();
    assert!(folder.error().contains("there are no labels (.txt) below"), "{}", folder.error());
    folder.file("labels/a.txt", "");
    assert!(folder.error().contains("there are no images below"), "{}", folder.error());
    fs::remove_dir(folder.path("images")).unwrap();
    let error = folder.error();
    assert!(error.starts_with("cannot list") && error.contains("images"), "{error}");

    let error =
        import::yolo(folder.path("s"), &[folder.source("a")], &[], &Options::default(), |_| ()).unwrap_err();
    assert!(matches!(error, Error::Setting { .. }), "{error}");
}

#[test]
fn a_store_that_is_there_is_kept() {
    let folder = Dataset::new();
    folder.image("images/a.png", 4, 4).file("labels/a.txt", "").file("store.ocelli", "mine");
    assert!(matches!(folder.import_with(&Options::default()), Err(Error::Exists { .. })));
    assert_eq!(fs::read(folder.path("store.ocelli")).unwrap(), b"mine");
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_circles_end() {
    use std::os::unix::fs::symlink;
    let folder = Dataset::new();
    folder.image("elsewhere/1.png", 4, 4).image("images/train/2.png", 4, 4);
    folder.file("labels/linked/1.txt", "0 0.5 0.5 0.5 0.5").file("labels/train/2.txt", "0 0.5 0.5 0.5 0.5");
    symlink(folder.path("elsewhere"), folder.path("images/linked")).unwrap();
    // A second name of a directory does not take the first one's place, and circles end.
    symlink(folder.path("images/train"), folder.path("images/again")).unwrap();
    symlink(folder.path("images"), folder.path("images/train/circle")).unwrap();
    symlink(folder.path("labels"), folder.path("labels/circle")).unwrap();
    // A link into nothing is an image that cannot be read.
    symlink("nothing", folder.path("images/gone.png")).unwrap();
    let (store, report) = folder.import();
    let images = store.images(&Filter::default()).unwrap();
    assert_eq!(
        images.iter().map(|image| &*image.file_name).collect::<Vec<_>>(),
        ["linked/1.png", "train/2.png"]
    );
    assert_eq!(report.count(Reason::UnreadableImage, Outcome::Dropped), 1);
    assert_eq!(report.annotations, 2);
}

#[cfg(target_os = "linux")]
#[test]
fn a_name_that_is_not_utf8_is_refused() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let folder = Dataset::new();
    folder.file("labels/a.txt", "");
    fs::write(folder.path("images").join(OsStr::from_bytes(b"\xff.png")), "").unwrap();
    assert!(folder.error().contains("its name is not UTF-8"), "{}", folder.error());
}

#[test]
fn names_are_found_in_files_and_directories() {
    let folder = Dataset::new();
    let error = yolo_names(folder.path("")).unwrap_err();
    assert!(error.to_string().contains("has none of data.yaml"), "{error}");
    folder.file("obj.names", "a\nb\n");
    assert_eq!(yolo_names(folder.path("")).unwrap(), ["a", "b"]);
    folder.file("data.yaml", "train: images\nnames: {0: c, 1: d}\n");
    assert_eq!(yolo_names(folder.path("")).unwrap(), ["c", "d"]);
    assert_eq!(yolo_names(folder.path("obj.names")).unwrap(), ["a", "b"]);

    folder.file("data.yaml", "nc: 1\nnames: x\n");
    let error = yolo_names(folder.path("data.yaml")).unwrap_err();
    assert!(matches!(&error, Error::Malformed { what, .. } if what.starts_with("line 2: ")), "{error}");
    assert!(matches!(yolo_names(folder.path("none.yaml")), Err(Error::Io { .. })));
    folder.file("bad.names", [b'a', b'\n', 0xfe]);
    assert!(yolo_names(folder.path("bad.names")).unwrap_err().to_string().contains("line 2"));
}

/// A store with boxes that are hard to write: large, small, periodic, beyond the image by less than a pixel.
fn store(path: &Path, images: &[(&str, u32, u32)]) -> Store {
    let mut store = Store::create(path).unwrap();
    let transaction = store.transaction().unwrap();
    for (id, name) in [(90, "toothbrush"), (7, "traffic light"), (1, "person")] {
        let category = Category { id: CategoryId(id), name: name.into(), supercategory: String::new() };
        transaction.add_category(&category).unwrap();
    }
    let mut id = 0;
    for (image, &(file_name, width, height)) in (1..).zip(images) {
        let image = Image { id: ImageId(image), file_name: file_name.into(), width, height };
        transaction.add_image(&image).unwrap();
        let (w, h) = (f64::from(width), f64::from(height));
        for (category, bbox) in [
            (1, [w / 3.0, h / 7.0, w / 1.9, h / 2.3]),
            (90, [-0.4, 0.0, w + 0.9, h]),
            (7, [w - 1e-3, h - 0.3, 1e-3, 0.1]),
        ] {
            id += 1;
            let bbox = BBox::from(bbox);
            let annotation = Annotation {
                id: AnnotationId(id),
                image: image.id,
                category: CategoryId(category),
                bbox,
                area: bbox.area(),
                crowd: false,
            };
            transaction.add_annotation(&annotation).unwrap();
        }
    }
    transaction.commit().unwrap();
    store
}

#[test]
fn a_store_comes_back_from_its_export() {
    let folder = Dataset::new();
    let images = [("train/1.jpg", 4001, 2999), ("train/b.c.png", 3, 1), ("2.png", 640, 480)];
    let mut store = store(&folder.path("first"), &images);
    let transaction = store.transaction().unwrap();
    let crowd = Annotation {
        id: AnnotationId(100),
        image: ImageId(1),
        category: CategoryId(1),
        bbox: BBox::new(0.0, 0.0, 9.0, 9.0),
        area: 81.0,
        crowd: true,
    };
    transaction.add_annotation(&crowd).unwrap();
    let empty = Image { id: ImageId(9), file_name: "empty.jpg".into(), width: 5, height: 6 };
    transaction.add_image(&empty).unwrap();
    transaction.commit().unwrap();

    let out = folder.path("out");
    assert_eq!(export::yolo(&store, &Filter::default(), &out).unwrap(), 4);
    assert_eq!(fs::read_to_string(out.join("classes.txt")).unwrap(), "toothbrush\ntraffic light\nperson\n");
    assert_eq!(fs::read_to_string(out.join("labels/empty.txt")).unwrap(), "");
    let lines = fs::read_to_string(out.join("labels/train/1.txt")).unwrap();
    assert_eq!(lines.lines().map(|line| &line[..2]).collect::<Vec<_>>(), ["2 ", "0 ", "1 "]);
    assert_eq!(
        fs::read_dir(folder.path("")).unwrap().count(),
        4 + usize::from(folder.path("first-wal").exists()) * 2
    );

    for (name, width, height) in images.into_iter().chain([("empty.jpg", 5, 6)]) {
        folder.image(&format!("images/{name}"), width, height);
    }
    let source = Source { split: "train".into(), labels: out.join("labels"), images: folder.path("images") };
    let second = folder.path("second");
    let names = yolo_names(&out).unwrap();
    let report = import::yolo(&second, &[source], &names, &Options::default(), |_| ()).unwrap();
    assert!(report.entries.is_empty(), "{report}");
    let second = Store::open(second).unwrap();
    let categories: Vec<CategoryId> =
        store.categories().unwrap().iter().map(|category| category.id).collect();
    for image in store.images(&Filter::default()).unwrap() {
        let again = second.image_of_file(&image.file_name).unwrap().unwrap();
        let before = store.annotations_of(image.id).unwrap();
        let after = second.annotations_of(again.id).unwrap();
        let before: Vec<_> = before.iter().filter(|annotation| !annotation.crowd).collect();
        assert_eq!(before.len(), after.len());
        for (before, after) in before.iter().zip(&after) {
            assert_eq!(before.category, categories[after.category.0 as usize]);
            let (before, after): ([f64; 4], [f64; 4]) = (before.bbox.into(), after.bbox.into());
            assert!(before.iter().zip(&after).all(|(a, b)| (a - b).abs() < 1e-9), "{before:?} {after:?}");
        }
    }
}

#[test]
fn an_export_obeys_its_filter() {
    let folder = Dataset::new();
    let store = store(&folder.path("store"), &[("1.png", 10, 10), ("2.png", 10, 10)]);
    let filter = Filter {
        images: Some(vec![ImageId(2)]),
        categories: Some(vec![CategoryId(1)]),
        boxes: Boxes::With,
        ..Filter::default()
    };
    let out = folder.path("out");
    assert_eq!(export::yolo(&store, &filter, &out).unwrap(), 1);
    assert!(!out.join("labels/1.txt").exists());
    assert_eq!(fs::read_to_string(out.join("labels/2.txt")).unwrap().lines().count(), 1);
}

#[test]
fn an_export_leaves_alone_what_is_there() {
    let folder = Dataset::new();
    let store = store(&folder.path("store"), &[("1.png", 10, 10)]);
    folder.file("file", "mine");
    for there in ["labels", "file"] {
        let error = export::yolo(&store, &Filter::default(), &folder.path(there)).unwrap_err();
        assert!(matches!(error, Error::Exists { .. }), "{error}");
    }
    assert_eq!(fs::read(folder.path("file")).unwrap(), b"mine");
    let error = export::yolo(&store, &Filter::default(), &folder.path("none/out")).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
}

#[test]
fn an_export_that_fails_leaves_nothing() {
    for (images, expected) in [
        (&[("a.png", 4, 4), ("../out.png", 4, 4)][..], "image 2 has the file name \"../out.png\""),
        (&[("/tmp/out.png", 4, 4)], "image 1 has the file name \"/tmp/out.png\""),
        (&[("a/../../b.png", 4, 4)], "image 1 has the file name"),
        (&[("", 4, 4)], "image 1 has the file name \"\""),
        (&[("..", 4, 4)], "image 1 has the file name"),
        (&[("a.png", 4, 4), ("b.png", 4, 4), ("a.jpg", 4, 4)], "image 3 (a.jpg) would share its file"),
        (&[("a.png", 0, 4)], "a size of 0 x 4"),
    ] {
        let folder = Dataset::new();
        fs::create_dir(folder.path("inner")).unwrap();
        let store = store(&folder.path("store"), images);
        let error = export::yolo(&store, &Filter::default(), &folder.path("inner/out")).unwrap_err();
        assert!(matches!(&error, Error::Conflict { .. }), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(fs::read_dir(folder.path("inner")).unwrap().count(), 0);
    }
}

#[test]
fn a_category_without_a_line_for_its_name_is_not_exported() {
    let folder = Dataset::new();
    let mut store = store(&folder.path("store"), &[("1.png", 10, 10)]);
    for name in ["two\nlines", " "] {
        let transaction = store.transaction().unwrap();
        let category = Category { id: CategoryId(7), name: name.into(), supercategory: String::new() };
        transaction.update_category(&category).unwrap();
        transaction.commit().unwrap();
        let error = export::yolo(&store, &Filter::default(), &folder.path("out")).unwrap_err();
        assert!(error.to_string().contains("the name of category 7"), "{error}");
    }
}
