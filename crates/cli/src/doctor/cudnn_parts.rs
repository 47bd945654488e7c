//! Whether the parts of a cuDNN belong together.
//!
//! cuDNN 9 is a front and half a dozen parts that it opens by name. Copies of two versions unpacked over one another, or
//! links of a half-finished update, mix them; that shows late, as an error of some later call.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The parts without which no graph can be planned.
const NEEDED: [&str; 4] = ["graph", "ops", "engines_runtime_compiled", "heuristic"];

/// What does not fit together in the cuDNN whose front is `front`, links resolved.
pub(super) fn mismatch(front: &Path) -> Option<String> {
    let directory = front.parent()?;
    missing(directory).or_else(|| versions(front, directory)).or_else(|| packages(front, directory))
}

fn missing(directory: &Path) -> Option<String> {
    let names: Vec<String> = NEEDED
        .into_iter()
        .map(|part| format!("libcudnn_{part}.so.9"))
        .filter(|name| !directory.join(name).exists())
        .collect();
    (!names.is_empty()).then(|| format!("{} is not beside it", names.join(", ")))
}

/// Compares the versions that the files' own names end in, where `.so.9` is a link.
fn versions(front: &Path, directory: &Path) -> Option<String> {
    let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for part in parts(directory).into_iter().map(|name| directory.join(name)).chain([front.to_owned()]) {
        let name = fs::canonicalize(part).ok()?.file_name()?.to_string_lossy().into_owned();
        if let Some((stem, version)) = name.split_once(".so.")
            && version.contains('.')
        {
            files.entry(version.to_owned()).or_default().push(stem.to_owned());
        }
    }
    let list = |(version, stems): (&String, &Vec<String>)| format!("{version} ({})", stems.join(", "));
    (files.len() > 1)
        .then(|| format!("its parts are of different versions: {}", join(files.iter().map(list), " and ")))
}

/// Compares the files with what the wheel that they came in says of them.
fn packages(front: &Path, directory: &Path) -> Option<String> {
    let site = front.ancestors().nth(4)?;
    let entries = fs::read_dir(site).ok()?.flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let wheels: BTreeSet<String> = names
        .filter(|name| name.starts_with("nvidia_cudnn_cu") && name.ends_with(".dist-info"))
        .filter(|name| lists_front(&site.join(name), site, front))
        .collect();
    if wheels.len() > 1 {
        let names = wheels.iter().map(|name| name.trim_end_matches(".dist-info").to_owned());
        return Some(format!("several packages were installed over one another: {}", join(names, ", ")));
    }
    let record = fs::read_to_string(site.join(wheels.first()?).join("RECORD")).ok()?;
    let changed = parts(directory).into_iter().filter(|name| {
        let path = directory.join(name);
        let length = fs::metadata(&path).map(|metadata| metadata.len());
        let stated = recorded(&record, site, &path);
        matches!((stated, length), (Some(stated), Ok(length)) if stated != length)
    });
    let changed = join(changed, ", ");
    (!changed.is_empty()).then(|| format!("it was changed since its package was installed: {changed}"))
}

fn lists_front(wheel: &Path, site: &Path, front: &Path) -> bool {
    fs::read_to_string(wheel.join("RECORD")).is_ok_and(|record| recorded(&record, site, front).is_some())
}

/// The length of a file by a line such as `nvidia/cudnn/lib/libcudnn.so.9,sha256=...,123`.
fn recorded(record: &str, site: &Path, file: &Path) -> Option<u64> {
    let start = format!("{},", file.strip_prefix(site).ok()?.to_str()?);
    let line = record.lines().find(|line| line.starts_with(&start))?;
    line.rsplit(',').next()?.trim().parse().ok()
}

/// The names of the parts, sorted.
fn parts(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> =
        names.filter(|name| name.starts_with("libcudnn_") && name.ends_with(".so.9")).collect();
    names.sort();
    names
}

fn join(items: impl Iterator<Item = String>, separator: &str) -> String {
    items.collect::<Vec<_>>().join(separator)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const PARTS: [&str; 6] = ["adv", "cnn", "engines_runtime_compiled", "graph", "heuristic", "ops"];

    #[test]
    fn parts_of_another_version_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        for part in PARTS {
            let file = format!("libcudnn_{part}.so.9.14.0");
            fs::write(path(&file), "").unwrap();
            symlink(&file, path(&format!("libcudnn_{part}.so.9"))).unwrap();
        }
        fs::write(path("libcudnn.so.9.14.0"), "").unwrap();
        assert_eq!(mismatch(&path("libcudnn.so.9.14.0")), None);

        fs::write(path("libcudnn_ops.so.9.19.0"), "").unwrap();
        fs::remove_file(path("libcudnn_ops.so.9")).unwrap();
        symlink("libcudnn_ops.so.9.19.0", path("libcudnn_ops.so.9")).unwrap();
        let text = mismatch(&path("libcudnn.so.9.14.0")).unwrap();
        assert!(text.contains("9.14.0 (") && text.contains("9.19.0 (libcudnn_ops)"), "{text}");

        fs::remove_file(path("libcudnn_ops.so.9")).unwrap();
        let text = mismatch(&path("libcudnn.so.9.14.0")).unwrap();
        assert!(text.contains("libcudnn_ops.so.9 is not beside it"), "{text}");
    }

    #[test]
    fn wheels_unpacked_over_one_another_are_noticed() {
        let site = tempfile::tempdir().unwrap();
        let library = site.path().join("nvidia/cudnn/lib");
        fs::create_dir_all(&library).unwrap();
        let front = library.join("libcudnn.so.9");
        let mut record = "nvidia/cudnn/lib/libcudnn.so.9,sha256=x,3\n".to_owned();
        fs::write(&front, "abc").unwrap();
        for part in PARTS {
            fs::write(library.join(format!("libcudnn_{part}.so.9")), "abcd").unwrap();
            record += &format!("nvidia/cudnn/lib/libcudnn_{part}.so.9,sha256=x,4\n");
        }
        let wheel = |name: &str| {
            fs::create_dir_all(site.path().join(name)).unwrap();
            fs::write(site.path().join(name).join("RECORD"), &record).unwrap();
        };
        wheel("nvidia_cudnn_cu13-9.19.0.56.dist-info");
        assert_eq!(mismatch(&front), None);

        fs::write(library.join("libcudnn_cnn.so.9"), "of another version").unwrap();
        let text = mismatch(&front).unwrap();
        assert!(text.contains("changed") && text.ends_with("libcudnn_cnn.so.9"), "{text}");

        wheel("nvidia_cudnn_cu12-9.10.2.21.dist-info");
        let text = mismatch(&front).unwrap();
        assert!(text.contains("cu12-9.10.2.21, nvidia_cudnn_cu13-9.19.0.56"), "{text}");
    }
}
