//! Import, reading and evaluation of a dataset of COCO's size. Run by `cargo bench -p ocelli-annotations`; beside its
//! peers by `benches/peers/coco.py`.

mod fixture;
fn main() {
    let dir = std::path::PathBuf::from(std::env::args().nth(1).unwrap());
    let t = std::time::Instant::now();
    if !dir.join("train.json").exists() {
        std::fs::create_dir_all(&dir).unwrap();
        fixture::write(&dir.join("train.json"), None, fixture::TRAIN).unwrap();
        fixture::write(&dir.join("val.json"), Some(&dir.join("detections.json")), fixture::VAL).unwrap();
        println!("fixture {:?}", t.elapsed());
    }
    use ocelli_annotations::import::{self, *};
    let source = Source { split: "train".into(), labels: dir.join("train.json"), images: "train".into() };
    for _ in 0..2 {
        let t = std::time::Instant::now();
        let g = ocelli_annotations::evaluation::GroundTruth::read(dir.join("train.json")).unwrap();
        println!("json alone {:?} {}", t.elapsed(), g.annotation_count());
    }
    for boxes_only in [true, false, true, false] {
        let t = std::time::Instant::now();
        let options = Options { boxes_only, overwrite: true, ..Default::default() };
        let report =
            import::coco(dir.join("train.db"), std::slice::from_ref(&source), &options, |_| ()).unwrap();
        println!("import boxes_only {boxes_only} {:?}\n{report}", t.elapsed());
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        println!("{}", status.lines().find(|l| l.starts_with("VmHWM")).unwrap());
    }
}
