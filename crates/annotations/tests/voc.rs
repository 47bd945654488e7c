//! Pascal VOC's XML files.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod folder;

use std::fs;
use std::ops::Deref;

use ocelli_annotations::import::{self, OnBadBox, Options, Outcome, Reason, Report, Source};
use ocelli_annotations::{AnnotationId, Error, Filter, ImageId, Result, Store};

use folder::Folder;

/// A dataset laid out as Pascal VOC's.
struct Dataset(Folder);

impl Deref for Dataset {
    type Target = Folder;

    fn deref(&self) -> &Folder {
        &self.0
    }
}

impl Dataset {
    fn new() -> Dataset {
        Dataset(Folder::with(["Annotations", "JPEGImages"]))
    }

    fn source(&self, labels: &str) -> Source {
        Source { split: labels.into(), labels: self.path(labels), images: self.path("JPEGImages") }
    }

    fn import_with(&self, labels: &[&str], options: &Options) -> Result<(Store, Report)> {
        let store = self.path("store.ocelli");
        let sources: Vec<Source> = labels.iter().map(|labels| self.source(labels)).collect();
        let report = import::voc(&store, &sources, options, |_| ())?;
        Ok((Store::open(store)?, report))
    }

    fn import(&self) -> (Store, Report) {
        self.import_with(&["Annotations"], &Options::default()).unwrap()
    }

    fn error(&self) -> Error {
        let error = self.import_with(&["Annotations"], &Options::default()).unwrap_err();
        assert!(!self.path("store.ocelli").exists());
        error
    }
}

fn annotation(filename: &str, size: Option<(u32, u32)>, objects: &str) -> String {
    let size = size.map_or(String::new(), |(width, height)| {
        format!("<size><width>{width}</width><height>{height}</height><depth>3</depth></size>")
    });
    format!("<annotation>\n<filename>{filename}</filename>\n{size}\n{objects}\n</annotation>\n")
}

fn object(name: &str, [left, top, right, bottom]: [f64; 4], more: &str) -> String {
    format!(
        "<object><name>{name}</name>{more}<bndbox><xmin>{left}</xmin><ymin>{top}</ymin><xmax>{right}</xmax>\
         <ymax>{bottom}</ymax></bndbox></object>"
    )
}

/// An annotation word for word as the dataset's tools lay it out, with a part.
const WHOLE: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE annotation [<!ENTITY unused "x">]>
<!-- one of many -->
<annotation>
	<folder>VOC2012</folder>
	<filename>2007_000027.jpg</filename>
	<source>
		<database>The VOC2007 Database</database>
	</source>
	<size>
		<width>486</width>
		<height>500</height>
		<depth>3</depth>
	</size>
	<segmented>0</segmented>
	<object>
		<name>person</name>
		<pose>Unspecified</pose>
		<truncated>0</truncated>
		<difficult>1</difficult>
		<bndbox>
			<xmin>174</xmin>
			<ymin>101</ymin>
			<xmax>349</xmax>
			<ymax>351</ymax>
		</bndbox>
		<part>
			<name>head</name>
			<bndbox>
				<xmin>169</xmin>
				<ymin>104</ymin>
				<xmax>209</xmax>
				<ymax>146</ymax>
			</bndbox>
		</part>
	</object>
	<object>
		<name><![CDATA[cat]]> &amp; d&#111;g</name>
		<pose/>
		<bndbox><ymax>20.25</ymax><xmax>10.5</xmax><ymin>1</ymin><xmin>1.5</xmin></bndbox>
	</object>
</annotation>
"#;

#[test]
fn an_annotation_is_imported() {
    let folder = Dataset::new();
    folder.file("Annotations/2007_000027.xml", WHOLE.replace('\n', "\r\n"));
    let (store, report) = folder.import();
    assert!(report.entries.is_empty() && report.hints.is_empty(), "{report}");
    let image = store.image(ImageId(1)).unwrap();
    assert_eq!((&*image.file_name, image.width, image.height), ("2007_000027.jpg", 486, 500));
    let categories = store.categories().unwrap();
    let categories: Vec<(i64, &str)> =
        categories.iter().map(|category| (category.id.0, &*category.name)).collect();
    assert_eq!(categories, [(1, "cat & dog"), (2, "person")]);
    let annotations = store.annotations_of(ImageId(1)).unwrap();
    let found: Vec<(i64, i64, [f64; 4], f64)> = annotations
        .iter()
        .map(|annotation| (annotation.id.0, annotation.category.0, annotation.bbox.into(), annotation.area))
        .collect();
    let expected = [(1, 2, [173.0, 100.0, 176.0, 251.0], 44176.0), (2, 1, [0.5, 0.0, 10.0, 20.25], 202.5)];
    assert_eq!(found, expected);
    let extra = |id| store.detail(AnnotationId(id)).unwrap().extra;
    assert_eq!(extra(1).unwrap(), r#"{"difficult":1,"pose":"Unspecified","truncated":0}"#);
    assert_eq!(extra(2), None);
}

#[test]
fn categories_are_sorted_over_all_sources_and_images_by_file() {
    let folder = Dataset::new();
    let one = |filename: &str, name: &str| {
        annotation(filename, Some((20, 20)), &object(name, [1.0, 1.0, 9.0, 9.0], ""))
    };
    folder
        .file("a/2.xml", one("2.jpg", "zebra"))
        .file("a/10.xml", one("10.jpg", "person"))
        .file("b/1.xml", one("1.jpg", "ant"))
        .file("b/0.xml", annotation("0.jpg", Some((5, 5)), ""));
    let (store, report) = folder.import_with(&["a", "b"], &Options::default()).unwrap();
    assert_eq!((report.images, report.images_without_annotations, report.categories), (4, 1, 3));
    let images = store.images(&Filter::default()).unwrap();
    assert_eq!(
        images.iter().map(|image| &*image.file_name).collect::<Vec<_>>(),
        ["10.jpg", "2.jpg", "0.jpg", "1.jpg"]
    );
    let annotations = store.annotations(&Filter::default()).unwrap();
    let categories = store.categories().unwrap();
    let names: Vec<&str> = annotations
        .iter()
        .map(|annotation| {
            &*categories.iter().find(|category| category.id == annotation.category).unwrap().name
        })
        .collect();
    assert_eq!(names, ["person", "zebra", "ant"]);
    assert_eq!(annotations.iter().map(|annotation| annotation.category.0).collect::<Vec<_>>(), [2, 3, 1]);
    assert_eq!(store.splits().unwrap().iter().map(|split| split.images).collect::<Vec<_>>(), [2, 2]);
}

#[test]
fn lists_name_their_files() {
    let folder = Dataset::new();
    for stem in ["a", "b", "c"] {
        let object = object("a", [1.0, 1.0, 2.0, 2.0], "");
        folder.file(
            &format!("Annotations/{stem}.xml"),
            annotation(&format!("{stem}.jpg"), Some((9, 9)), &object),
        );
    }
    folder
        .file("ImageSets/Main/train.txt", "c  1\r\n\r\na -1\r\nc\r\n")
        .file("ImageSets/Main/val.txt", "b\n");
    folder.file("ImageSets/Main/trainval.txt", "a\nb\nc\n");
    let lists = ["ImageSets/Main/train.txt", "ImageSets/Main/val.txt", "ImageSets/Main/trainval.txt"];
    let (store, report) = folder.import_with(&lists, &Options::default()).unwrap();
    assert!(report.entries.is_empty(), "{report}");
    // An image that several lists have is one image.
    assert_eq!(store.splits().unwrap().iter().map(|split| split.images).collect::<Vec<_>>(), [2, 1, 3]);
    assert_eq!(store.count_annotations(&Filter::default()).unwrap(), 3);
    let images = store.images(&Filter::default()).unwrap();
    assert_eq!(images.iter().map(|image| &*image.file_name).collect::<Vec<_>>(), ["a.jpg", "c.jpg", "b.jpg"]);

    for (list, expected) in [
        ("a\nd\n", "line 2: there is no "),
        ("../Annotations/a\n", "line 1: \"../Annotations/a\" names no file"),
        ("/a\n", "line 1: \"/a\" names no file"),
        ("\n", "lists no image"),
    ] {
        folder.file("ImageSets/Main/bad.txt", list);
        let options = Options { overwrite: true, ..Options::default() };
        let error = folder.import_with(&["ImageSets/Main/bad.txt"], &options).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("bad.txt"), "{error}");
    }
}

#[test]
fn images_are_found_and_measured() {
    let folder = Dataset::new();
    folder
        .image("JPEGImages/a.png", 30, 20)
        .image("JPEGImages/x/b.JPG", 7, 8)
        .image("JPEGImages/x/named.png", 9, 10)
        .file("Annotations/a.xml", annotation("a.png", None, ""))
        // Renamed after it was labelled, and by a program of another system.
        .file("Annotations/x/b.xml", annotation(r"C:\data\old.jpg", Some((0, 0)), ""))
        .file("Annotations/x/c.xml", annotation("named.png", None, ""))
        .file("Annotations/x/d.xml", annotation("not_there.png", Some((3, 4)), ""));
    let (store, _) = folder.import();
    let images = store.images(&Filter::default()).unwrap();
    let images: Vec<_> = images.iter().map(|image| (&*image.file_name, image.width, image.height)).collect();
    let expected = [("a.png", 30, 20), ("x/b.JPG", 7, 8), ("x/named.png", 9, 10), ("x/not_there.png", 3, 4)];
    assert_eq!(images, expected);
}

#[test]
fn images_that_cannot_be_measured_are_named() {
    let folder = Dataset::new();
    folder.file("Annotations/a.xml", annotation("a.png", None, ""));
    let error = folder.error().to_string();
    assert!(error.contains("a.xml: it has no `size`") && error.contains("a.png to read it from"), "{error}");
    folder.file("JPEGImages/a.png", "no image");
    assert!(matches!(folder.error(), Error::Image { path, .. } if path == folder.path("JPEGImages/a.png")));
    folder
        .file("Annotations/a.xml", annotation("", None, ""))
        .file("Annotations/b.xml", annotation("", None, ""));
    fs::remove_file(folder.path("JPEGImages/a.png")).unwrap();
    assert!(folder.error().to_string().contains("a.xml: it has no `filename`"), "{}", folder.error());
    for filename in ["../a.png", "/etc/a.png", ".."] {
        folder.file("Annotations/a.xml", annotation(filename, Some((4, 4)), ""));
        let error = folder.error().to_string();
        assert!(error.contains("a.xml: the `filename`"), "{error}");
    }
}

#[test]
fn what_is_no_annotation_is_named() {
    let good = object("a", [1.0, 1.0, 2.0, 2.0], "");
    for (text, expected) in [
        (String::new(), "line 1: there is no <annotation>"),
        ("no XML".into(), "line 1: there is no <annotation>"),
        ("\n<html></html>".into(), "line 2: expected one <annotation> for all, found <html>"),
        ("<annotation/>\n<annotation/>".into(), "line 2: expected one <annotation>"),
        ("<annotation>\n<object>\n".into(), "the file ends within <object>"),
        ("<annotation>\n</object>\n".into(), "line 2: "),
        ("<annotation>\n\n<object".into(), "line 3: "),
        (
            "<annotation>\n<filename>&bomb;</filename></annotation>".into(),
            "line 2: the entity &bomb; is none",
        ),
        ("<annotation>\n<filename>&#xffffffff;</filename></annotation>".into(), "line 2: "),
        ("<annotation>\n<filename>a & b</filename></annotation>".into(), "line 2: "),
        (
            annotation("a.jpg", Some((9, 9)), "<object></object>"),
            "line 4: the object that ends here has no `name`",
        ),
        (annotation("a.jpg", Some((9, 9)), &good.replace("xmax", "max")), "has no `bndbox/xmax`"),
        (annotation("a.jpg", Some((9, 9)), &good.replace("bndbox", "box")), "has no `bndbox/xmin`"),
        (annotation("a.jpg", Some((9, 9)), &good.replace("<xmin>1", "<xmin>one")), "the xmin \"one\""),
        (annotation("a.jpg", Some((9, 9)), &good.replace("<ymax>2", "<ymax>NaN")), "the ymax \"NaN\""),
        (annotation("a.jpg", Some((9, 9)), &good.replace("<ymax>2", "<ymax>inf")), "the ymax"),
        (annotation("a.jpg", Some((9, 9)), "").replace("<width>9", "<width>-9"), "line 3: the width \"-9\""),
        (
            annotation("a.jpg", Some((9, 9)), "").replace("<width>9", "<width>99999999999"),
            "is no number of pixels",
        ),
    ] {
        let folder = Dataset::new();
        folder.file("Annotations/a.xml", &text);
        let error = folder.import_with(&["Annotations"], &Options::default());
        let Err(error) = error else { panic!("{text} is imported") };
        assert!(matches!(error, Error::Malformed { .. }), "{text}: {error}");
        let error = error.to_string();
        assert!(error.contains("a.xml: line ") && error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn a_file_cut_short_anywhere_is_named() {
    let folder = Dataset::new();
    let end = WHOLE.rfind("</annotation>").unwrap();
    for length in (0..end).step_by(7).chain(end - 10..end + 12) {
        folder.file("Annotations/a.xml", &WHOLE[..length]);
        assert!(matches!(folder.error(), Error::Malformed { .. }), "{length}");
    }
}

#[test]
fn what_is_no_text_is_named() {
    let folder = Dataset::new();
    folder.file("Annotations/a.xml", b"<annotation>\n<filename>\xe9.jpg</filename></annotation>");
    assert!(folder.error().to_string().contains("a.xml: line 2: a byte is not UTF-8"), "{}", folder.error());
}

#[test]
fn elements_however_deep_and_entities_however_many_are_read_in_their_own_length() {
    let deep = 200_000;
    let nested = format!("{}{}", "<part>".repeat(deep), "</part>".repeat(deep));
    let folder = Dataset::new();
    let object = object("a", [1.0, 1.0, 2.0, 2.0], &nested);
    folder.file("Annotations/a.xml", annotation("a.jpg", Some((9, 9)), &object));
    assert_eq!(folder.import().1.annotations, 1);

    let folder = Dataset::new();
    folder.file("Annotations/a.xml", "<annotation>".to_string() + &"<a>".repeat(deep));
    let error = folder.error().to_string();
    assert!(error.len() < 1000 && error.contains("ends within <a>"), "{error}");

    let bomb = "<!DOCTYPE annotation [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;\">]>\n";
    let folder = Dataset::new();
    folder.file("Annotations/a.xml", bomb.to_string() + &annotation("&b;.jpg", Some((9, 9)), ""));
    let error = folder.error().to_string();
    assert!(error.contains("a.xml: line 3: the entity &b; is none of XML's own"), "{error}");
}

#[test]
fn bad_boxes_are_treated_as_asked() {
    let folder = Dataset::new();
    let objects = [
        object("a", [1.0, 1.0, 100.0, 100.0], "<difficult>0</difficult>"),
        // Counted from 0, which is within a pixel.
        object("a", [0.0, 0.0, 99.0, 99.0], ""),
        object("a", [50.0, 50.0, 120.0, 100.0], ""),
        object("b", [50.0, 50.0, 40.0, 60.0], "<difficult>1</difficult>"),
    ];
    folder.file("Annotations/a.xml", annotation("a.jpg", Some((100, 100)), &objects.concat()));
    let (store, report) = folder.import();
    let boxes: Vec<[f64; 4]> =
        store.annotations_of(ImageId(1)).unwrap().iter().map(|annotation| annotation.bbox.into()).collect();
    assert_eq!(boxes, [[0.0, 0.0, 100.0, 100.0], [-1.0, -1.0, 100.0, 100.0], [49.0, 49.0, 51.0, 51.0]]);
    assert_eq!(report.count(Reason::BeyondImage, Outcome::Repaired), 1);
    assert_eq!(report.count(Reason::EmptyBox, Outcome::Dropped), 1);
    assert_eq!(report.categories, 2);

    let with = |on_bad_box| Options { on_bad_box, overwrite: true, ..Options::default() };
    let (_, report) = folder.import_with(&["Annotations"], &with(OnBadBox::Drop)).unwrap();
    assert_eq!(report.annotations, 2);
    let error = folder.import_with(&["Annotations"], &with(OnBadBox::Error)).unwrap_err();
    assert!(matches!(&error, Error::BadBox { path, .. } if path.ends_with("a.xml")), "{error}");
    assert!(error.to_string().contains("box 3 of the file"), "{error}");
}

#[test]
fn extras_are_left_out_where_only_boxes_are_wanted() {
    let folder = Dataset::new();
    folder.file("Annotations/a.xml", WHOLE);
    let options = Options { boxes_only: true, ..Options::default() };
    let (store, _) = folder.import_with(&["Annotations"], &options).unwrap();
    assert_eq!(store.detail(AnnotationId(1)).unwrap().extra, None);
}

#[test]
fn directories_without_labels_are_named() {
    let folder = Dataset::new();
    assert!(folder.error().to_string().contains("there are no labels (.xml) below"), "{}", folder.error());
    fs::remove_dir(folder.path("Annotations")).unwrap();
    assert!(matches!(folder.error(), Error::Io { path, .. } if path == folder.path("Annotations")));
}

#[cfg(unix)]
#[test]
fn circles_of_links_end() {
    let folder = Dataset::new();
    folder.file("Annotations/a.xml", WHOLE);
    std::os::unix::fs::symlink(folder.path(""), folder.path("Annotations/circle")).unwrap();
    assert_eq!(folder.import().1.images, 1);
}
