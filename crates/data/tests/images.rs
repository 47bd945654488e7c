//! Folders of images, and images decoded on the host.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};

use image::{DynamicImage, GrayImage, ImageError, Luma, Rgb as Pixel, RgbImage, Rgba, RgbaImage};
use ocelli_data::images::{ImageFiles, ImageFolder, Rgb, Sample};
use ocelli_data::{Encoded, Error};
use tempfile::TempDir;

/// An image whose pixels tell which it is.
fn save(directory: &Path, class: &str, name: &str, value: u8) {
    fs::create_dir_all(directory.join(class)).unwrap();
    let image = RgbImage::from_fn(12, 10, |x, y| Pixel([value, x as u8 * 20, y as u8 * 25]));
    image.save(directory.join(class).join(name)).unwrap();
}

/// 3 + 8 + 2 images of three classes.
fn small_set() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (class, count) in [("cat", 3u8), ("ant", 8), ("bee", 2)] {
        for index in 0..count {
            save(directory.path(), class, &format!("{index}.png"), 20 * index + class.as_bytes()[0] - 90);
        }
    }
    directory
}

#[test]
fn classes_are_numbered_by_name_and_files_found_by_extension() {
    let directory = small_set();
    let path = directory.path();
    fs::write(path.join("ant/notes.txt"), "no image").unwrap();
    fs::write(path.join("README.md"), "no class").unwrap();
    fs::create_dir(path.join("bee/more")).unwrap();
    save(path, "bee/more", "x.JPEG", 1);
    let folder = ImageFolder::open(path).unwrap();
    assert_eq!(folder.classes(), ["ant", "bee", "cat"]);
    assert_eq!(folder.samples().len(), 14);
    let of = |label| -> Vec<PathBuf> {
        let samples = folder.samples().iter().filter(|sample| sample.label == label);
        samples.map(|Sample { path: file, .. }| file.strip_prefix(path).unwrap().into()).collect()
    };
    assert_eq!(of(1), ["bee/0.png", "bee/1.png", "bee/more/x.JPEG"].map(PathBuf::from));
    assert_eq!(of(0).len(), 8);
}

#[test]
fn directories_without_classes_or_images_are_errors_that_name_them() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let error = ImageFolder::open(path).unwrap_err();
    assert!(matches!(&error, Error::NoClasses { directory } if directory == path));
    save(path, "ant", "0.png", 1);
    fs::create_dir(path.join("bee")).unwrap();
    let error = ImageFolder::open(path).unwrap_err();
    assert!(error.to_string().contains("bee") && error.to_string().contains("jpeg"), "{error}");
    let error = ImageFolder::open(&path.join("nowhere")).unwrap_err();
    assert!(matches!(&error, Error::Io { .. }) && error.to_string().contains("nowhere"), "{error}");
}

#[test]
fn grey_images_and_those_with_alpha_become_three_channels() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.png");
    let read = |image: DynamicImage| {
        image.save(&path).unwrap();
        Rgb::read(&path).unwrap()
    };
    let grey = read(GrayImage::from_pixel(3, 2, Luma([77])).into());
    assert_eq!(grey, Rgb { width: 3, height: 2, pixels: vec![77; 18] });
    let clear = read(RgbaImage::from_pixel(1, 1, Rgba([9, 8, 7, 0])).into());
    assert_eq!(clear.pixels, [9, 8, 7]);
    // The first bytes say what it is, not the name.
    let named = directory.path().join("a.jpeg");
    fs::copy(&path, &named).unwrap();
    assert_eq!(Rgb::read(&named).unwrap(), clear);
}

#[test]
fn a_jpeg_is_decoded() {
    let directory = tempfile::tempdir().unwrap();
    save(directory.path(), "ant", "0.jpg", 120);
    let image = Rgb::read(&directory.path().join("ant/0.jpg")).unwrap();
    assert_eq!((image.width, image.height), (12, 10));
    let red = image.pixels.iter().step_by(3).map(|&value| f64::from(value)).sum::<f64>() / 120.0;
    assert!((red - 120.0).abs() < 6.0, "{red}");
}

/// Cut short anywhere, a JPEG file is an error: half an image is no sample.
#[test]
fn a_jpeg_cut_short_is_damaged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.jpg");
    let noise = RgbImage::from_fn(64, 64, |x, y| Pixel([(x * y % 251) as u8, (x * 7 % 256) as u8, y as u8]));
    noise.save(&path).unwrap();
    let bytes = fs::read(&path).unwrap();
    assert!(Rgb::read(&path).is_ok());
    for share in [1, 4, 7] {
        fs::write(&path, &bytes[..bytes.len() * share / 8]).unwrap();
        assert!(matches!(Rgb::read(&path), Err(Error::Image { .. })), "{share}/8 of the file");
    }
}

#[test]
fn what_is_no_image_at_all_is_an_error() {
    let directory = small_set();
    for contents in [&b""[..], b"GIF89a", b"not an image, whatever its name says"] {
        let path = directory.path().join("ant/0.png");
        fs::write(&path, contents).unwrap();
        assert!(matches!(Rgb::read(&path), Err(Error::Image { .. })), "{contents:?}");
    }
}

#[test]
fn nested_folders_come_in_pytorchs_order() {
    let directory = tempfile::tempdir().unwrap();
    for place in ["dog/z.jpg", "dog/a/b/1.jpg", "dog/a-b/2.jpg", "dog/a/3.jpg", "dog/a.jpg"] {
        let path = directory.path().join(place);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    let folder = ImageFolder::open(directory.path()).unwrap();
    let places: Vec<&Path> =
        folder.samples().iter().map(|sample| sample.path.strip_prefix(directory.path()).unwrap()).collect();
    // As sorted(os.walk(..)) and sorted names in each: `-` comes before `/`.
    assert_eq!(
        places,
        ["dog/a.jpg", "dog/z.jpg", "dog/a/3.jpg", "dog/a-b/2.jpg", "dog/a/b/1.jpg"].map(Path::new)
    );
}

#[test]
#[cfg(unix)]
fn a_link_to_a_folder_that_it_is_in_is_an_error_and_others_are_followed() {
    use std::os::unix::fs::symlink;

    let directory = small_set();
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("x.png"), "").unwrap();
    symlink(elsewhere.path(), directory.path().join("ant/more")).unwrap();
    symlink(elsewhere.path(), directory.path().join("ant/same")).unwrap();
    let found = ImageFolder::open(directory.path()).unwrap();
    let linked = found.samples().iter().filter(|sample| sample.path.ends_with("x.png")).count();
    assert_eq!(linked, 2);
    for (target, link) in [(".", "ant/self"), ("..", "ant/up"), ("../..", "ant/further")] {
        symlink(target, directory.path().join(link)).unwrap();
        let error = ImageFolder::open(directory.path()).unwrap_err();
        // The link itself, which can be removed, and not what is seen through it.
        assert!(matches!(&error, Error::Io { path, .. } if path.ends_with(link)), "{error}");
        assert!(error.to_string().contains("leads back"), "{error}");
        fs::remove_file(directory.path().join(link)).unwrap();
    }
    assert_eq!(ImageFolder::open(directory.path()).unwrap().samples(), found.samples());
}

#[test]
fn a_grey_image_counts_with_its_three_channels() {
    // 400 megabytes of grey, and three times as many in colour; nothing follows the header, which is enough.
    let error = Rgb::decode(b"P5\n20000 20000\n255\n", "x".as_ref()).unwrap_err();
    assert!(
        matches!(&error, Error::Image { source, .. } if matches!(**source, ImageError::Limits(_))),
        "{error}"
    );
    let error = Rgb::decode(b"P5\n200 200\n255\n", "x".as_ref()).unwrap_err();
    assert!(
        matches!(&error, Error::Image { source, .. } if !matches!(**source, ImageError::Limits(_))),
        "{error}"
    );
}

#[test]
#[cfg(unix)]
fn a_file_of_4_gib_is_not_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.jpg");
    // Without anything in it, it takes no place on the disk.
    fs::File::create(&path).unwrap().set_len(1 << 32).unwrap();
    for error in
        [Rgb::read(&path).unwrap_err(), ImageFiles::new(vec![path.clone()]).bytes(0).map(drop).unwrap_err()]
    {
        assert!(matches!(&error, Error::Unfit { what, .. } if what.contains("4 GiB")), "{error}");
    }
}

/// Against Pillow, whose pixels lie beside the files.
#[test]
fn files_in_other_colour_spaces_have_the_right_colours() {
    for (name, file, expected) in [
        ("cmyk", &include_bytes!("golden/jpeg/cmyk.jpg")[..], &include_bytes!("golden/jpeg/cmyk.png")[..]),
        ("ycck", include_bytes!("golden/jpeg/ycck.jpg"), include_bytes!("golden/jpeg/ycck.png")),
        ("rgb", include_bytes!("golden/jpeg/rgb.jpg"), include_bytes!("golden/jpeg/rgb.png")),
    ] {
        let found = Rgb::decode(file, name.as_ref()).unwrap();
        let expected = Rgb::decode(expected, "golden".as_ref()).unwrap();
        assert_eq!((found.width, found.height), (expected.width, expected.height));
        let most = found.pixels.iter().zip(&expected.pixels).map(|(a, b)| a.abs_diff(*b)).max();
        // Decoders round each in its way.
        assert!(most.unwrap() <= 2, "{name}: {most:?}");
    }
}
