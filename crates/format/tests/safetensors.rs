//! Weights between networks and safetensors files: nothing is lost, nothing is half done, nobody's file is trusted.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use ocelli_core::State;
use ocelli_core::nn::{
    BatchNorm2d, BatchNormConfig, Conv2d, Conv2dConfig, ConvTranspose2d, ConvTranspose2dConfig, Linear,
    Params, Seed,
};
use ocelli_format::safetensors::{Weights, load, save};
use ocelli_format::{Error, Misfit};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

/// Parameters of every layout: filters, transposed and grouped ones, matrices, vectors. Different seeds are different
/// values.
fn network(seed: u64) -> Params {
    let params = Params::new(&ocelli_oracle::device(), Seed(seed));
    layers(&params);
    params
}

fn layers(params: &Params) {
    let grouped = Conv2dConfig { kernel: 3, groups: 2, ..Default::default() };
    Conv2d::new(params / "conv", 4, 6, grouped).unwrap();
    let conv = Conv2dConfig { kernel: 2, bias: false, ..Default::default() };
    let transposed = ConvTranspose2dConfig { conv, ..Default::default() };
    ConvTranspose2d::new(params / "up", 6, 5, transposed).unwrap();
    BatchNorm2d::new(params / "norm", 5, BatchNormConfig::default()).unwrap();
    Linear::new(params / "fc", 5, 3).unwrap();
}

fn values(params: &Params) -> BTreeMap<String, Vec<f32>> {
    let of_state = |state: State| (state.name().to_string(), state.to_vec().unwrap());
    params.all().into_iter().map(of_state).collect()
}

/// A tensor of a file: its type, extents and bytes.
type Stored = (Dtype, Vec<usize>, Vec<u8>);

fn stored(extents: &[usize], values: &[f32]) -> Stored {
    (Dtype::F32, extents.to_vec(), values.iter().copied().flat_map(f32::to_le_bytes).collect())
}

/// The tensors of a file as the reference implementation reads them.
fn read(path: &Path) -> BTreeMap<String, Stored> {
    let bytes = fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = |(name, view): (&str, TensorView)| {
        (name.to_string(), (view.dtype(), view.shape().to_vec(), view.data().to_vec()))
    };
    file.iter().map(tensor).collect()
}

/// A file of these tensors as the reference implementation writes it.
fn write(path: &Path, tensors: &BTreeMap<String, Stored>) {
    let views = tensors.iter().map(|(name, (dtype, extents, bytes))| {
        (name, TensorView::new(*dtype, extents.clone(), bytes).unwrap())
    });
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// A directory, and a file in it that holds the weights of a network.
fn saved(params: &Params) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weights.safetensors");
    save(&path, params).unwrap();
    (directory, path)
}

#[test]
fn what_is_saved_is_loaded() {
    let (one, other) = (network(1), network(2));
    assert_ne!(values(&one), values(&other));
    let (_directory, path) = saved(&one);
    load(&path, &other).unwrap();
    assert_eq!(values(&one), values(&other));
}

#[test]
fn the_same_values_make_the_same_bytes_and_nothing_lies_beside_the_file() {
    let (directory, path) = saved(&network(1));
    let first = fs::read(&path).unwrap();
    // Over a file that is there.
    save(&path, &network(2)).unwrap();
    assert_ne!(fs::read(&path).unwrap(), first);
    save(&path, &network(1)).unwrap();
    assert_eq!(fs::read(&path).unwrap(), first);
    let names: Vec<_> =
        fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["weights.safetensors"]);
}

#[test]
fn names_extents_and_layouts_in_a_file_are_pytorchs() {
    let params = network(1);
    let (_directory, path) = saved(&params);
    let file = read(&path);
    let extents = |name: &str| file[name].1.clone();
    assert_eq!(extents("conv.weight"), [6, 2, 3, 3]);
    assert_eq!(extents("conv.bias"), [6]);
    assert_eq!(extents("up.weight"), [6, 5, 2, 2]);
    assert_eq!(extents("norm.running_var"), [5]);
    assert_eq!(extents("fc.weight"), [3, 5]);
    assert_eq!(file.len(), params.all().len());
    assert!(file.values().all(|(dtype, ..)| *dtype == Dtype::F32));

    // Output k, row r, column s, input c of Ocelli's filters, element by element.
    let ours: Vec<f32> = params.get("conv.weight").unwrap().to_vec().unwrap();
    let (_, _, theirs) = &file["conv.weight"];
    for (i, &value) in ours.iter().enumerate() {
        let [k, r, s, c] = [i / 18, i / 6 % 3, i / 2 % 3, i % 2];
        let place = 4 * (((k * 2 + c) * 3 + r) * 3 + s);
        assert_eq!(theirs[place..place + 4], value.to_le_bytes(), "{k}, {r}, {s}, {c}");
    }
    let (ours, (_, _, theirs)) =
        (params.get("fc.weight").unwrap().to_vec::<f32>().unwrap(), &file["fc.weight"]);
    assert_eq!(ours.iter().copied().flat_map(f32::to_le_bytes).collect::<Vec<_>>(), *theirs);
}

#[test]
fn a_file_says_that_it_is_pytorchs() {
    let (_directory, path) = saved(&network(1));
    let (_, head) = SafeTensors::read_metadata(&fs::read(path).unwrap()).unwrap();
    assert_eq!(*head.metadata(), Some(HashMap::from([("format".to_string(), "pt".to_string())])));
}

#[test]
fn sixteen_bits_are_read_to_the_last_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("halves.safetensors");
    let params = Params::zeroed(&ocelli_oracle::device());
    Linear::new(&params / "fc", 3, 2).unwrap();
    // The largest and the least positive number of each type, and some between.
    let halves = [65504.0, 5.960_464_5e-8, -0.333_251_95, 1.0, 0.0, -2.5].map(f16::from_f32);
    let brains = [3.389_531_4e38, 9.183_55e-41].map(bf16::from_f32);
    let bytes = |halves: &[u16]| halves.iter().copied().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let tensors = BTreeMap::from([
        ("fc.weight".into(), (Dtype::F16, vec![2, 3], bytes(&halves.map(f16::to_bits)))),
        ("fc.bias".into(), (Dtype::BF16, vec![2], bytes(&brains.map(bf16::to_bits)))),
    ]);
    write(&path, &tensors);
    load(&path, &params).unwrap();
    let of = |name: &str| params.get(name).unwrap().to_vec::<f32>().unwrap();
    assert_eq!(of("fc.weight"), [65504.0, 5.960_464_5e-8, -0.333_251_95, 1.0, 0.0, -2.5]);
    assert_eq!(of("fc.bias"), [3.389_531_4e38, 9.183_55e-41]);
}

#[test]
fn below_a_path_names_begin_there() {
    let root = Params::new(&ocelli_oracle::device(), Seed(1));
    let backbone = &root / "backbone";
    layers(&backbone);
    // Not below the path, though its name begins like it.
    Linear::new(&root / "backbone2", 2, 2).unwrap();
    let (_directory, path) = saved(&backbone);
    let names: Vec<String> = read(&path).into_keys().collect();
    let expected: Vec<String> = network(1).all().iter().map(|state| state.name().to_string()).collect();
    assert_eq!(names, expected);

    // Into a network without the path, and back.
    let plain = network(2);
    load(&path, &plain).unwrap();
    let prefixed = values(&plain).into_iter().map(|(name, values)| (format!("backbone.{name}"), values));
    assert_eq!(prefixed.collect::<BTreeMap<_, _>>(), values(&backbone));
    let (_directory, path) = saved(&network(3));
    load(&path, &backbone).unwrap();
    assert_eq!(backbone.get("fc.bias").unwrap().to_vec::<f32>().unwrap(), values(&network(3))["fc.bias"]);
}

#[test]
fn batches_that_normalisations_count_are_left_out() {
    let (_directory, path) = saved(&network(1));
    let mut tensors = read(&path);
    tensors.insert("norm.num_batches_tracked".into(), (Dtype::I64, vec![], vec![7, 0, 0, 0, 0, 0, 0, 0]));
    write(&path, &tensors);
    let params = network(2);
    load(&path, &params).unwrap();
    assert_eq!(values(&params), values(&network(1)));
}

#[test]
fn one_error_names_all_that_does_not_fit_and_nothing_is_changed() {
    let (_directory, path) = saved(&network(1));
    let mut tensors = read(&path);
    tensors.remove("fc.bias");
    // As many elements, in another order.
    tensors.insert("conv.weight".into(), stored(&[6, 3, 3, 2], &[0.5; 108]));
    tensors.insert("norm.bias".into(), (Dtype::I32, vec![5], vec![0; 20]));
    tensors.insert("norm.weight".into(), (Dtype::F64, vec![4], vec![0; 32]));
    tensors.insert("fc2.weight".into(), stored(&[2], &[1.0, 2.0]));
    write(&path, &tensors);

    let params = network(2);
    let error = load(&path, &params).unwrap_err();
    let message = error.to_string();
    let Error::Misfits { path: file, misfits } = error else { panic!("{error:?}") };
    assert_eq!(file, path);
    let name = String::from;
    let expected = [
        Misfit::Extents { name: name("conv.weight"), expected: vec![6, 2, 3, 3], found: vec![6, 3, 3, 2] },
        Misfit::Missing { name: name("fc.bias"), extents: vec![3] },
        Misfit::Surplus { name: name("fc2.weight"), extents: vec![2] },
        Misfit::Type { name: name("norm.bias"), found: name("I32") },
        Misfit::Extents { name: name("norm.weight"), expected: vec![5], found: vec![4] },
        Misfit::Type { name: name("norm.weight"), found: name("F64") },
    ];
    assert_eq!(misfits, expected);
    assert!(message.contains(path.to_str().unwrap()), "{message}");
    for misfit in &expected {
        assert!(message.contains(&format!("\n  {misfit}")), "{message}");
    }
    assert_eq!(values(&params), values(&network(2)));
}

#[test]
fn a_file_can_be_looked_into_before_there_is_a_network() {
    let params = network(1);
    let (_directory, path) = saved(&params);
    let mut weights = Weights::open(&path).unwrap();
    assert_eq!(weights.extents("fc.weight"), Some(&[3, 5][..]));
    assert_eq!(weights.extents("fc"), None);
    let names: Vec<String> = params.all().iter().map(|state| state.name().to_string()).collect();
    assert!(weights.names().eq(names.iter().map(String::as_str)));
    // A file may be loaded more than once.
    for seed in [2, 3] {
        let other = network(seed);
        weights.load(&other).unwrap();
        assert_eq!(values(&other), values(&params));
    }
}

/// Loads a damaged file, which must be refused and change nothing.
#[track_caller]
fn refused(path: &Path, bytes: &[u8], params: &Params) -> Error {
    fs::write(path, bytes).unwrap();
    let error = load(path, params).unwrap_err();
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    error
}

#[test]
fn a_file_that_was_cut_short_is_refused_wherever_it_was_cut() {
    let (_directory, path) = saved(&network(1));
    let whole = fs::read(&path).unwrap();
    let params = network(2);
    let before = values(&params);
    for length in 0..whole.len() {
        let error = refused(&path, &whole[..length], &params);
        assert!(matches!(error, Error::Malformed { .. }), "{length}: {error:?}");
    }
    let longer = [&whole[..], &[0]].concat();
    assert!(matches!(refused(&path, &longer, &params), Error::Malformed { .. }));
    assert_eq!(values(&params), before);
}

#[test]
fn no_byte_of_a_head_can_be_changed_to_do_harm() {
    let params = Params::new(&ocelli_oracle::device(), Seed(1));
    Linear::new(&params / "fc", 2, 2).unwrap();
    let (_directory, path) = saved(&params);
    let whole = fs::read(&path).unwrap();
    let head = whole.len() - 4 * params.count();
    let mut refused = 0;
    for place in 0..head {
        for bit in 0..8 {
            let mut damaged = whole.clone();
            damaged[place] ^= 1 << bit;
            fs::write(&path, &damaged).unwrap();
            // Some changes are none: the remark about PyTorch may say anything.
            refused += usize::from(load(&path, &params).is_err());
        }
    }
    assert!(refused > 6 * head, "{refused} of {} changes were refused", 8 * head);
}

/// A file of this head, and so many bytes behind it.
fn file(head: &str, bytes: usize) -> Vec<u8> {
    [&(head.len() as u64).to_le_bytes()[..], head.as_bytes(), &vec![0; bytes]].concat()
}

#[test]
fn heads_that_lie_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hostile.safetensors");
    let params = Params::zeroed(&ocelli_oracle::device());
    let before = values(&params);
    let tensor = |name: &str, extents: &str, start: u64, end: u64| {
        format!(r#""{name}":{{"dtype":"U8","shape":{extents},"data_offsets":[{start},{end}]}}"#)
    };
    let listed = |tensors: &[String]| format!("{{{}}}", tensors.join(","));

    // A head as long as can be written, with nothing in it.
    let error = refused(&path, &[0xff; 16], &params);
    assert!(matches!(error, Error::Malformed { .. }), "{error:?}");
    // Tensors whose sizes add up to almost all numbers of 64 bits, so that what comes on top overflows.
    let large = (1 << 61) - 1;
    let parts: Vec<String> = (0..8)
        .map(|i| tensor(&format!("t{i}"), &format!("[{large}]"), i * large, (i + 1) * large))
        .chain([tensor("t8", "[7]", 8 * large, 8 * large + 7)])
        .collect();
    let error = refused(&path, &file(&listed(&parts), 16), &params);
    assert!(matches!(error, Error::Malformed { .. }), "{error:?}");

    let heads = [
        listed(&[tensor("a", "[4294967296, 4294967296, 4]", 0, 4)]),
        listed(&[tensor("a", "[8]", 0, 4)]),
        listed(&[tensor("a", "[4]", 4, 8)]),
        listed(&[tensor("a", "[4]", 8, 4)]),
        listed(&[tensor("a", "[4]", 0, 4), tensor("b", "[4]", 2, 6)]),
        listed(&[tensor("a", "[4]", 0, 4), tensor("a", "[4]", 4, 8)]),
        listed(&[tensor("a", "[-4]", 0, 4)]),
        r#"{"a":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}}"#.into(),
        r#"{"a":1}"#.into(),
        "[]".into(),
        "[".repeat(100_000),
        "{\"a\":".repeat(100_000),
        String::new(),
    ];
    for head in heads {
        let error = refused(&path, &file(&head, 8), &params);
        assert!(matches!(error, Error::Head { .. }), "{head:.100}: {error:?}");
    }
    let Error::Head { path: file, source } = refused(&path, &file("{1}", 0), &params) else { panic!() };
    assert_eq!((file, source.line(), source.column()), (path, 1, 2));
    assert_eq!(values(&params), before);
}

#[test]
fn what_the_system_refuses_names_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let params = network(1);
    let before = values(&params);
    for path in [directory.path().join("none.safetensors"), directory.path().into()] {
        let error = load(&path, &params).unwrap_err();
        assert!(matches!(&error, Error::Io { .. } | Error::Malformed { .. }), "{error:?}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    }
    assert_eq!(values(&params), before);

    // Where there is no directory, and where the name is a directory's.
    let taken = directory.path().join("taken");
    fs::create_dir(&taken).unwrap();
    for path in [directory.path().join("none/weights.safetensors"), taken, "/".into()] {
        let error = save(&path, &params).unwrap_err();
        assert!(matches!(&error, Error::Io { .. }), "{error:?}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    }
    // Nothing is left of the attempts.
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[cfg(unix)]
#[test]
fn others_may_read_a_file_as_far_as_the_umask_lets_them() {
    use std::os::unix::fs::PermissionsExt;

    let (directory, path) = saved(&network(1));
    let plain = directory.path().join("plain");
    fs::write(&plain, "").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&path), mode(&plain));
}
