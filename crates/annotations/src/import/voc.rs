//! Pascal VOC's XML files: <http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/devkit_doc.html>.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Component, Path};

use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;
use quick_xml::reader::Reader;

use super::files::{self, CHUNK, Found};
use super::{Gathering, Options, Progress, Report, Source};
use crate::error::{Error, Result};
use crate::parallel;
use crate::types::{Annotation, AnnotationId, BBox, Category, CategoryId, Image, ImageId};

/// Makes a store from Pascal VOC's XML files, one directory or list of labels and one directory of images for each
/// split.
///
/// The labels of a [`Source`] are a directory of `.xml` files, searched below too, or a list as in `ImageSets/Main`: a
/// text file with the name of an image, without extension, on each line. A second column is not looked at, so the list
/// of a class stands for all images in it. The files of a list are those in `../../Annotations`, seen from the list's
/// directory. An XML file that several sources have, with the same directory of images, is one image, in the split of
/// each.
///
/// Boxes are `xmin`, `ymin`, `xmax`, `ymax`, whole numbers or not, where the image's first pixel is 1 and the last
/// pixel belongs to the box: `x = xmin - 1`, `width = xmax - xmin + 1`. What an object says of `difficult`, `truncated`
/// and `pose` is kept in the annotation's JSON object, numbers as numbers: `{"difficult":1,"pose":"Left"}`. Parts of
/// objects are left out.
///
/// An image's file is that of its `filename` in the directory of images; where it is not there, the one with the name
/// of the XML file. It need not be there at all, unless the XML file gives no `size`, or one of 0: then the size is
/// read from the image.
///
/// Categories are numbered from 1 in the order of their names, over all sources. Images are numbered from 1 in the
/// order of the XML files' paths, one source after the other, and annotations from 1 in the same order.
///
/// # Errors
/// [`Error::Malformed`] names the file and the line where it is no XML, or not what it should be; entities other than
/// XML's own five are refused, so that none expands. [`Error::Setting`] where there are no labels; [`Error::Image`]
/// where a size has to be read, and cannot be; [`Error::BadBox`] if [`OnBadBox`](super::OnBadBox) asks for it;
/// [`Error::Exists`]; [`Error::Io`]; [`Error::DiskFull`]. There is no store then.
pub fn voc(
    store: impl AsRef<Path>,
    sources: &[Source],
    options: &Options,
    mut progress: impl FnMut(Progress),
) -> Result<Report> {
    let sources: Vec<Listed> = sources.iter().map(Listed::new).collect::<Result<_>>()?;
    let total: u64 = sources.iter().map(|source| files::bytes(&source.labels)).sum();
    let mut gathering = Gathering::new(store.as_ref(), options)?;
    let mut read = 0;
    let mut progress = |bytes| {
        read += bytes;
        progress(Progress { read, total: Some(total) });
    };
    let mut import = Import {
        store: store.as_ref(),
        gathering: &mut gathering,
        categories: BTreeMap::new(),
        known: HashMap::new(),
        images: 0,
        annotations: 0,
    };
    let result = sources.iter().try_for_each(|source| import.source(source, &mut progress));
    match result {
        Ok(()) => {
            import.number_categories();
            gathering.finish()
        }
        Err(error) => Err(gathering.failed(error)),
    }
}

/// A source and its files.
struct Listed<'a> {
    source: &'a Source,
    labels: Vec<Found>,
    images: Vec<Found>,
}

impl Listed<'_> {
    fn new(source: &Source) -> Result<Listed<'_>> {
        let Source { labels, images, .. } = source;
        let list = labels.is_file();
        let found = if list { listed(labels)? } else { files::below(labels, &["xml"])? };
        if found.is_empty() {
            let what = if list {
                format!("{} lists no image: name a list that does", labels.display())
            } else {
                format!(
                    "there are no labels (.xml) below {}: name the directory that holds them",
                    labels.display()
                )
            };
            return Err(Error::Setting { what });
        }
        // Sizes are in the labels: the images need not be there.
        let images = if images.is_dir() { files::below(images, &files::IMAGES)? } else { Vec::new() };
        Ok(Listed { source, labels: found, images })
    }
}

/// The XML files of a list.
fn listed(list: &Path) -> Result<Vec<Found>> {
    let text = files::text(list)?;
    let annotations = list.parent().unwrap_or(Path::new("")).join("../../Annotations");
    let mut found = BTreeMap::new();
    for (position, line) in text.lines().enumerate() {
        let Some(stem) = line.split_whitespace().next() else { continue };
        let malformed = |what: String| files::malformed(list, format!("line {}: {what}", position + 1));
        if !within(stem) {
            return Err(malformed(format!("{stem:?} names no file within a directory")));
        }
        let name = format!("{stem}.xml");
        let path = annotations.join(&name);
        match std::fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => {
                found.insert(name.clone(), Found { name, path, bytes: metadata.len() });
            }
            _ => return Err(malformed(format!("there is no {}, the labels of {stem}", path.display()))),
        }
    }
    Ok(found.into_values().collect())
}

/// Whether a name from a file stays within the directory that it is meant to be in.
fn within(name: &str) -> bool {
    let path = Path::new(name);
    path.file_name().is_some() && path.components().all(|part| matches!(part, Component::Normal(_)))
}

struct Import<'a> {
    store: &'a Path,
    gathering: &'a mut Gathering,
    /// Names, with numbers in the order in which they were found.
    categories: BTreeMap<String, CategoryId>,
    /// The images of XML files and directories of images.
    known: HashMap<(&'a Path, &'a Path), ImageId>,
    /// Images and annotations so far.
    images: i64,
    annotations: i64,
}

impl<'a> Import<'a> {
    fn source(&mut self, listed: &'a Listed<'_>, progress: &mut impl FnMut(u64)) -> Result<()> {
        let Listed { source, labels, images } = listed;
        self.gathering.begin_split(&source.split, &source.images, &source.labels);
        let description = files::describe(&source.labels, &source.images, labels);
        self.gathering.meta(format!("source/{}", source.split), description);
        let images = Images::new(&source.images, images);
        for labels in labels.chunks(CHUNK) {
            let (mut new, mut bytes) = (Vec::new(), 0);
            for labels in labels {
                bytes += labels.bytes;
                match self.known.get(&(&*labels.path, &*source.images)) {
                    Some(&image) => self.gathering.image_again(image),
                    None => new.push(labels),
                }
            }
            let read = parallel::in_order(&new, |labels| {
                let described = Described::read(&labels.path)?;
                let image = images.of(labels, &described)?;
                Ok::<_, Error>((image, described.objects))
            });
            for (labels, read) in new.into_iter().zip(read) {
                let (image, objects) = read?;
                let image = self.image(labels, image, objects)?;
                self.known.insert((&labels.path, &source.images), image);
            }
            progress(bytes);
        }
        Ok(())
    }

    fn image(&mut self, labels: &Found, image: (String, u32, u32), objects: Vec<Object>) -> Result<ImageId> {
        let (file_name, width, height) = image;
        self.images += 1;
        let id = ImageId(self.images);
        let mut works = self.gathering.image(Image { id, file_name, width, height }, None);
        self.gathering.begin_file(&labels.path);
        for Object { name, bbox, extra } in objects {
            let next = CategoryId(self.categories.len() as i64);
            self.annotations += 1;
            let annotation = Annotation {
                id: AnnotationId(self.annotations),
                image: id,
                category: *self.categories.entry(name).or_insert(next),
                bbox,
                area: bbox.area(),
                crowd: false,
            };
            works &= self.gathering.annotation(annotation, None, extra);
        }
        if works { Ok(id) } else { Err(files::unheard(self.store)) }
    }

    /// Numbers the categories in the order of their names, now that all are known.
    fn number_categories(self) {
        let mut numbers = vec![CategoryId(0); self.categories.len()];
        for (number, (name, found)) in (1..).map(CategoryId).zip(self.categories) {
            numbers[found.0 as usize] = number;
            self.gathering.category(Category { id: number, name, supercategory: String::new() }, None);
        }
        self.gathering.renumber_categories(|found| numbers[found.0 as usize]);
    }
}

/// The images of a source.
struct Images<'a> {
    directory: &'a Path,
    names: BTreeSet<&'a str>,
    by_stem: HashMap<&'a str, &'a str>,
}

impl<'a> Images<'a> {
    fn new(directory: &'a Path, images: &'a [Found]) -> Images<'a> {
        let names = images.iter().map(|image| image.name.as_str()).collect();
        // Where several have the same stem, the first is taken.
        let by_stem = images.iter().rev().map(|image| (image.stem(), image.name.as_str())).collect();
        Images { directory, names, by_stem }
    }

    /// An image's file name and size.
    fn of(&self, labels: &Found, described: &Described) -> Result<(String, u32, u32)> {
        let malformed = |what| files::malformed(&labels.path, what);
        let Described { filename, width, height, .. } = described;
        if !filename.is_empty() && !within(filename) {
            return Err(malformed(format!("the `filename` {filename:?} names no file within a directory")));
        }
        let below = match labels.name.rsplit_once('/') {
            Some((directory, _)) => format!("{directory}/{filename}"),
            None => filename.clone(),
        };
        let there = |name: &str| self.names.get(name).copied();
        let found =
            there(&below).or_else(|| there(filename)).or_else(|| self.by_stem.get(labels.stem()).copied());
        let name = match found {
            Some(found) => found.to_string(),
            None if filename.is_empty() => {
                let directory = self.directory.display();
                return Err(malformed(format!(
                    "it has no `filename`, and no image in {directory} bears its name"
                )));
            }
            None => below,
        };
        if *width > 0 && *height > 0 {
            return Ok((name, *width, *height));
        }
        let path = self.directory.join(&name);
        if !path.exists() {
            return Err(malformed(format!(
                "it has no `size`, and there is no {} to read it from",
                path.display()
            )));
        }
        let (width, height) = files::size(&path)?;
        Ok((name, width, height))
    }
}

/// What an XML file says.
#[derive(Debug, Default)]
struct Described {
    /// Empty if there is none.
    filename: String,
    /// 0 if there is none.
    width: u32,
    height: u32,
    objects: Vec<Object>,
}

#[derive(Debug)]
struct Object {
    name: String,
    bbox: BBox,
    extra: Option<String>,
}

/// An object of which not all is known yet.
#[derive(Debug, Default)]
struct Unfinished {
    name: String,
    /// `xmin`, `ymin`, `xmax`, `ymax`.
    corners: [Option<f64>; 4],
    extra: serde_json::Map<String, serde_json::Value>,
}

const CORNERS: [&str; 4] = ["xmin", "ymin", "xmax", "ymax"];

impl Described {
    fn read(path: &Path) -> Result<Described> {
        let text = files::text(path)?;
        let mut reader = Reader::from_str(&text);
        reader.config_mut().expand_empty_elements = true;
        let mut described = Described::default();
        described.parse(&mut reader).map_err(|what| {
            // The reader's own errors are of an earlier place than where it stopped.
            let byte = match reader.error_position() {
                0 => reader.buffer_position(),
                position => position,
            };
            let line = files::line_at(text.as_bytes(), usize::try_from(byte).unwrap_or(usize::MAX));
            files::malformed(path, format!("line {line}: {what}"))
        })?;
        Ok(described)
    }

    /// Reads all elements. Where it is among them is kept as a path, so that however deep they lie takes no stack.
    fn parse(&mut self, reader: &mut Reader<&[u8]>) -> Result<(), String> {
        let (mut place, mut text) = (String::new(), String::new());
        let mut object = Unfinished::default();
        let mut begun = false;
        loop {
            match reader.read_event().map_err(|error| error.to_string())? {
                Event::Start(element) => {
                    let name = element.name();
                    let name = std::str::from_utf8(name.as_ref()).map_err(|error| error.to_string())?;
                    if place.is_empty() && (begun || name != "annotation") {
                        return Err(format!("expected one <annotation> for all, found <{name}>"));
                    }
                    begun = true;
                    place.push('/');
                    place.push_str(name);
                    text.clear();
                }
                Event::End(element) => {
                    self.element(&place, text.trim(), &mut object)?;
                    // The reader has seen to it that the names are the same.
                    place.truncate(place.len().saturating_sub(element.name().as_ref().len() + 1));
                    text.clear();
                }
                Event::Text(part) => text.push_str(&part.decode().map_err(|error| error.to_string())?),
                Event::CData(part) => text.push_str(&part.decode().map_err(|error| error.to_string())?),
                Event::GeneralRef(reference) => {
                    match reference.resolve_char_ref().map_err(|error| error.to_string())? {
                        Some(character) => text.push(character),
                        None => {
                            let name = reference.decode().map_err(|error| error.to_string())?;
                            let known = resolve_predefined_entity(&name);
                            text.push_str(
                                known.ok_or_else(|| format!("the entity &{name}; is none of XML's own"))?,
                            );
                        }
                    }
                }
                Event::Eof if !place.is_empty() => {
                    let name = place.rsplit('/').next().unwrap_or_default();
                    return Err(format!("the file ends within <{name}>"));
                }
                Event::Eof if !begun => return Err("there is no <annotation>".into()),
                Event::Eof => return Ok(()),
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) | Event::Empty(_) => {}
            }
        }
    }

    /// Takes in an element that ends.
    fn element(&mut self, place: &str, text: &str, object: &mut Unfinished) -> Result<(), String> {
        match place {
            "/annotation/filename" => self.filename = text.into(),
            "/annotation/size/width" => self.width = size("width", text)?,
            "/annotation/size/height" => self.height = size("height", text)?,
            "/annotation/object" => self.objects.push(std::mem::take(object).finish()?),
            "/annotation/object/name" => object.name = text.into(),
            "/annotation/object/difficult" => object.say("difficult", text),
            "/annotation/object/truncated" => object.say("truncated", text),
            "/annotation/object/pose" => object.say("pose", text),
            _ => {
                let corner = place.strip_prefix("/annotation/object/bndbox/");
                if let Some(corner) = CORNERS.iter().position(|&name| corner == Some(name)) {
                    object.corners[corner] = Some(coordinate(CORNERS[corner], text)?);
                }
            }
        }
        Ok(())
    }
}

impl Unfinished {
    /// Keeps what is said of the object, a number as a number; nothing where nothing is said.
    fn say(&mut self, what: &str, text: &str) {
        let value = match text.parse::<i64>() {
            Ok(number) => number.into(),
            Err(_) => text.into(),
        };
        if !text.is_empty() {
            self.extra.insert(what.into(), value);
        }
    }

    fn finish(self) -> Result<Object, String> {
        let Unfinished { name, corners, extra } = self;
        if name.is_empty() {
            return Err("the object that ends here has no `name`".into());
        }
        let [Some(left), Some(top), Some(right), Some(bottom)] = corners else {
            let missing = CORNERS.iter().zip(corners).find(|(_, corner)| corner.is_none());
            let missing = missing.map_or("", |(name, _)| name);
            return Err(format!("the object that ends here has no `bndbox/{missing}`"));
        };
        // The first pixel is 1, and the last belongs to the box.
        let bbox = BBox::new(left - 1.0, top - 1.0, right - left + 1.0, bottom - top + 1.0);
        let extra = (!extra.is_empty()).then(|| serde_json::Value::Object(extra).to_string());
        Ok(Object { name, bbox, extra })
    }
}

/// A number of pixels; 0 where nothing is said.
fn size(what: &str, text: &str) -> Result<u32, String> {
    if text.is_empty() {
        return Ok(0);
    }
    text.parse().map_err(|_| format!("the {what} {text:?} is no number of pixels"))
}

fn coordinate(what: &str, text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err(format!("the {what} {text:?} is no finite number")),
    }
}
