//! What only the store's own code can set up: files of other versions. The rest is in `tests/store.rs`.

use rusqlite::Connection;

use super::*;
use crate::types::{Annotation, AnnotationId, BBox, Category, CategoryId, Detection, Image, ImageId};

fn first_version(path: &Path) {
    let connection = Connection::open(path).unwrap();
    schema::create_first_version(&connection);
    connection
        .execute_batch(
            "INSERT INTO category VALUES (7, 0, 'cat', 'animal', NULL);
             INSERT INTO image VALUES (3, 'a.jpg', 640, 480);
             INSERT INTO annotation VALUES (3, 5, 7, 1.5, 2.5, 10.0, 20.0, 150.0, 0, NULL);",
        )
        .unwrap();
}

#[test]
fn an_older_store_is_brought_to_this_version_with_all_that_is_in_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("old.db");
    first_version(&path);
    for open in [Store::open_read_only, Store::open_immutable] {
        let error = open(path.as_path()).unwrap_err();
        assert!(matches!(error, Error::Older { found: 1, known: 2, .. }), "{error}");
    }
    let mut store = Store::open(&path).unwrap();
    let annotation = Annotation {
        id: AnnotationId(5),
        image: ImageId(3),
        category: CategoryId(7),
        bbox: BBox::new(1.5, 2.5, 10.0, 20.0),
        area: 150.0,
        crowd: false,
    };
    assert_eq!(store.annotations_of(ImageId(3)).unwrap(), std::slice::from_ref(&annotation));
    assert_eq!(store.annotation(AnnotationId(5)).unwrap(), annotation);
    // What the second version added is there.
    let found = Detection { image: ImageId(3), category: CategoryId(7), bbox: annotation.bbox, score: 0.5 };
    let transaction = store.transaction().unwrap();
    let run = transaction.add_run("model", "run").unwrap();
    transaction.add_predictions(run, &[found]).unwrap();
    transaction.commit().unwrap();
    drop(store);
    assert_eq!(Store::open_read_only(&path).unwrap().predictions(run).unwrap(), [found]);
}

#[test]
fn a_migrated_store_has_the_tables_of_a_new_one() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (directory.path().join("old.db"), directory.path().join("new.db"));
    first_version(&old);
    let tables = |store: Store| -> Vec<(String, Option<String>)> {
        let mut statement =
            store.connection.prepare("SELECT name, sql FROM sqlite_schema ORDER BY name").unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.collect::<rusqlite::Result<_>>().unwrap()
    };
    assert_eq!(tables(Store::open(&old).unwrap()), tables(Store::create(&new).unwrap()));
}

#[test]
fn a_newer_store_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("new.db");
    drop(Store::create(&path).unwrap());
    let connection = Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", schema::VERSION + 1).unwrap();
    drop(connection);
    let before = std::fs::read(&path).unwrap();
    for open in [Store::open, Store::open_read_only, Store::open_immutable] {
        let error = open(path.as_path()).unwrap_err();
        assert!(matches!(error, Error::Newer { found: 3, known: 2, .. }), "{error}");
    }
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn another_programs_database_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("other.db");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE image (id INTEGER PRIMARY KEY)").unwrap();
    let error = Store::open(&path).unwrap_err();
    assert!(error.to_string().contains("an SQLite database of another program"), "{error}");
}

#[test]
fn a_full_disk_leaves_the_store_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("full.db");
    let mut store = Store::create(&path).unwrap();
    // As few pages as it has, and a few: SQLite then says what it says when the disk is full.
    let pages: i64 = store.connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    store.pragma("max_page_count", pages + 3).unwrap();
    let transaction = store.transaction().unwrap();
    let image = |id| Image { id: ImageId(id), file_name: "x".repeat(1000), width: 1, height: 1 };
    let error = (1..1000).find_map(|id| transaction.add_image(&image(id)).err()).unwrap();
    assert!(matches!(error, Error::DiskFull { .. }), "{error}");
    drop(transaction);
    assert_eq!(store.count_images(&Filter::default()).unwrap(), 0);
    let transaction = store.transaction().unwrap();
    transaction
        .add_category(&Category { id: CategoryId(1), name: "a".into(), supercategory: String::new() })
        .unwrap();
    transaction.commit().unwrap();
    assert_eq!(store.categories().unwrap().len(), 1);
}

#[test]
fn boxes_of_an_image_lie_in_one_page_or_two() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pages.db");
    let bulk = Bulk::create(&path, false).unwrap();
    let images: Vec<_> = (0..2000)
        .map(|id| (Image { id: ImageId(id), file_name: format!("{id}.jpg"), width: 640, height: 480 }, None))
        .collect();
    bulk.images(&images).unwrap();
    let category = Category { id: CategoryId(1), name: "a".into(), supercategory: String::new() };
    bulk.categories(&[(category, None)]).unwrap();
    let rows = (0..14_000).map(|id| {
        let (image, category) = (ImageId(id * 7919 % 2000), CategoryId(1));
        let bbox = BBox::new(id as f64 / 3.0, 1.5, 20.25, 30.5);
        Row {
            annotation: Annotation { id: AnnotationId(id), image, category, bbox, area: 600.0, crowd: false },
            detail: None,
        }
    });
    bulk.finish(rows.collect()).unwrap();
    let store = Store::open_immutable(&path).unwrap();
    let plan = |sql: &str| -> String {
        let mut statement = store.connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let rows = statement.query_map([], |row| row.get::<_, String>(3)).unwrap();
        rows.map(|row| row.unwrap()).collect::<Vec<_>>().join("; ")
    };
    assert_eq!(
        plan("SELECT x FROM annotation a WHERE a.image_id = 5 ORDER BY a.id"),
        "SEARCH a USING PRIMARY KEY (image_id=?)"
    );
    assert_eq!(plan("SELECT x FROM annotation a WHERE TRUE ORDER BY a.image_id, a.id"), "SCAN a");
    assert!(plan("SELECT x FROM annotation a WHERE a.category_id = 3").contains("annotation_by_category"));
    // Seven boxes take about 400 bytes: a page of 4,096 holds those of ten images.
    let sql = "SELECT count(*) FROM dbstat WHERE name = 'annotation'";
    if let Ok(pages) = store.connection.query_row(sql, [], |row| row.get::<_, i64>(0)) {
        assert!(pages < 260, "{pages} pages for the boxes of 2,000 images");
    }
}

#[test]
fn a_disk_that_fills_up_during_an_import_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("labels.db");
    for full_at in [40, 200, 700] {
        let bulk = Bulk::create(&path, false).unwrap();
        bulk.limit_pages(full_at);
        let image = |id| (Image { id: ImageId(id), file_name: "x".repeat(200), width: 1, height: 1 }, None);
        let row = |id| {
            let (image, category) = (ImageId(id % 1000), CategoryId(1));
            let bbox = BBox::new(0.1, 0.2, 0.3, 0.4);
            Row {
                annotation: Annotation {
                    id: AnnotationId(id),
                    image,
                    category,
                    bbox,
                    area: 1.0,
                    crowd: false,
                },
                detail: None,
            }
        };
        let category = Category { id: CategoryId(1), name: "a".into(), supercategory: String::new() };
        let result = bulk
            .images(&(0..1000).map(image).collect::<Vec<_>>())
            .and_then(|()| bulk.categories(&[(category, None)]))
            .and_then(|()| bulk.finish((0..40_000).map(row).collect()));
        let error = result.unwrap_err();
        assert!(matches!(error, Error::DiskFull { .. }), "{full_at}: {error}");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "{full_at}");
    }
}
