//! The declarations against NVIDIA's header, by the C compiler.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::mem::offset_of;
use std::path::PathBuf;
use std::process::Command;

use crate::constants::all;
use crate::functions::PROTOTYPES;
use crate::types::CALLBACKS;
use crate::*;

/// What the header takes from the CUDA runtime's headers.
const RUNTIME: &str = "#include <stddef.h>\ntypedef struct CUstream_st* cudaStream_t;\n";
const LIBRARY_TYPES: &str =
    "typedef enum { MAJOR_VERSION, MINOR_VERSION, PATCH_LEVEL } libraryPropertyType;\n";
/// Words of the header that are no constants, and the end of an enum, which moves.
const NO_CONSTANTS: [&str; 6] = [
    "NVJPEG_HEADER",
    "NVJPEG_VER_MAJOR",
    "NVJPEG_VER_MINOR",
    "NVJPEG_VER_PATCH",
    "NVJPEG_VER_BUILD",
    "NVJPEG_OUTPUT_FORMAT_MAX",
];
/// A function that nvJPEG 13 dropped.
const DROPPED: &str = "nvjpegEncoderParamsCopyHuffmanTables";

/// The C type that a Rust type of the table stands for.
fn c_type(rust: &str) -> String {
    let rust = rust.replace(' ', "");
    if let Some(target) = rust.strip_prefix("*const") {
        return format!("{} const*", c_type(target));
    }
    if let Some(target) = rust.strip_prefix("*mut") {
        return format!("{}*", c_type(target));
    }
    let c = match rust.as_str() {
        "u8" => "unsigned char",
        "usize" => "size_t",
        "c_int" => "int",
        "c_uint" | "Flags" => "unsigned int",
        "c_void" => "void",
        "LibraryProperty" => "libraryPropertyType",
        "Stream" => "cudaStream_t",
        "EncoderBackend" => "nvjpegEncBackend_t",
        "DeviceAllocator" => "nvjpegDevAllocator_t",
        "DeviceAllocatorV2" => "nvjpegDevAllocatorV2_t",
        name => return format!("nvjpeg{name}_t"),
    };
    c.to_owned()
}

/// The words of C code, without comments.
fn words(code: &str) -> BTreeSet<&str> {
    code.lines()
        .map(|line| line.split_once("//").map_or(line, |(code, _)| code))
        .flat_map(|line| line.split(|character: char| !character.is_alphanumeric() && character != '_'))
        .collect()
}

/// Compiles C code that includes the header; the compiler's complaints.
fn compile(assertions: &str) -> Result<(), String> {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    write("cuda_runtime_api.h", RUNTIME);
    write("library_types.h", LIBRARY_TYPES);
    write("check.c", &format!("#include <nvjpeg.h>\n{assertions}"));
    let output = Command::new(std::env::var("CC").unwrap_or_else(|_| "cc".to_owned()))
        .args(["-std=gnu11", "-fsyntax-only", "-I"])
        .arg(directory.path())
        .arg("-I")
        .arg(include())
        .arg(directory.path().join("check.c"))
        .output()
        .unwrap();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

fn include() -> PathBuf {
    PathBuf::from(std::env::var_os("OCELLI_NVJPEG_INCLUDE").expect("OCELLI_NVJPEG_INCLUDE names a directory"))
}

fn header() -> String {
    let path = include().join("nvjpeg.h");
    String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned()
}

#[test]
fn no_constant_and_no_function_is_declared_twice() {
    let constants: BTreeSet<_> = all().map(|(name, _)| name).collect();
    assert_eq!(constants.len(), all().count());
    let functions: BTreeSet<_> = PROTOTYPES.iter().map(|(name, _)| name).collect();
    assert_eq!(functions.len(), PROTOTYPES.len());
}

#[test]
fn every_status_has_a_name_and_a_meaning() {
    for (name, value) in all().filter(|(name, _)| name.starts_with("NVJPEG_STATUS_")) {
        let status = Status::try_from(value).unwrap();
        assert_eq!(status_name(status), Some(name));
        assert!(status_meaning(status).unwrap().ends_with('.'));
    }
    assert_eq!((status_name(4242), status_meaning(-1)), (None, None));
}

#[test]
#[cfg_attr(not(ocelli_nvjpeg_header), ignore = "needs nvJPEG's header (OCELLI_NVJPEG_INCLUDE)")]
fn constants_have_the_values_of_the_header() {
    let header = header() + LIBRARY_TYPES;
    let declared = words(&header);
    let mut assertions = String::new();
    // An older header lacks some, none lacks many.
    assert!(all().filter(|(name, _)| declared.contains(name)).count() > 60);
    for (name, value) in all().filter(|(name, _)| declared.contains(name)) {
        writeln!(assertions, "_Static_assert(({name}) == ({value}), \"{name}\");").unwrap();
    }
    compile(&assertions).unwrap();
    compile("_Static_assert(NVJPEG_CSS_GRAY == 5, \"\");").unwrap_err();

    let ours: BTreeSet<&str> = all().map(|(name, _)| name).chain(NO_CONSTANTS).collect();
    let theirs = declared.iter().filter(|name| name.starts_with("NVJPEG_"));
    let missing: Vec<_> = theirs.filter(|name| !ours.contains(*name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
#[cfg_attr(not(ocelli_nvjpeg_header), ignore = "needs nvJPEG's header (OCELLI_NVJPEG_INCLUDE)")]
fn functions_have_the_types_of_the_header() {
    let header = header().replace("NVJPEGAPI ", "");
    let declared = words(&header);
    let mut assertions = String::new();
    let mut assert = |name: &str, result: &str, arguments: &[&str]| {
        let arguments: Vec<String> = arguments.iter().map(|argument| c_type(argument)).collect();
        let types = format!("__typeof__({name}), {result}({})", arguments.join(", "));
        writeln!(assertions, "_Static_assert(__builtin_types_compatible_p({types}), \"{name}\");").unwrap();
    };
    for (name, arguments) in PROTOTYPES.iter().filter(|(name, _)| declared.contains(name)) {
        assert(name, "nvjpegStatus_t", arguments);
    }
    for (name, arguments) in CALLBACKS {
        assert(name, "int (*)", arguments);
    }
    compile(&assertions).unwrap();
    compile(&assertions.replacen("size_t", "int", 1)).unwrap_err();

    let ours: BTreeSet<&str> = PROTOTYPES.iter().map(|&(name, _)| name).chain([DROPPED]).collect();
    let theirs = declared.iter().filter(|name| header.contains(&format!("nvjpegStatus_t {name}(")));
    let missing: Vec<_> = theirs.filter(|name| !ours.contains(*name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
#[cfg_attr(not(ocelli_nvjpeg_header), ignore = "needs nvJPEG's header (OCELLI_NVJPEG_INCLUDE)")]
fn structures_have_the_layout_of_the_header() {
    macro_rules! layout {
        ($($c:ident = $rust:ident { $($field:ident),* })*) => {{
            let mut assertions = String::new();
            $(
                let (c, size) = (stringify!($c), size_of::<$rust>());
                writeln!(assertions, "_Static_assert(sizeof({c}) == {size}, \"{c}\");").unwrap();
                $(
                    let (field, offset) = (stringify!($field), offset_of!($rust, $field));
                    writeln!(assertions, "_Static_assert(offsetof({c}, {field}) == {offset}, \"{c}\");").unwrap();
                )*
            )*
            assertions
        }};
    }
    let mut assertions = layout! {
        nvjpegImage_t = Image { channel, pitch }
        nvjpegDevAllocator_t = DeviceAllocator { dev_malloc, dev_free }
        nvjpegPinnedAllocator_t = PinnedAllocator { pinned_malloc, pinned_free }
        nvjpegDevAllocatorV2_t = DeviceAllocatorV2 { dev_malloc, dev_free, dev_ctx }
        nvjpegPinnedAllocatorV2_t = PinnedAllocatorV2 { pinned_malloc, pinned_free, pinned_ctx }
    };
    let header = header();
    let declared = words(&header);
    let enums = [
        ("nvjpegStatus_t", size_of::<Status>()),
        ("nvjpegBackend_t", size_of::<Backend>()),
        ("nvjpegEncBackend_t", size_of::<EncoderBackend>()),
        ("nvjpegOutputFormat_t", size_of::<OutputFormat>()),
        ("nvjpegInputFormat_t", size_of::<InputFormat>()),
        ("nvjpegChromaSubsampling_t", size_of::<ChromaSubsampling>()),
        ("nvjpegJpegEncoding_t", size_of::<JpegEncoding>()),
        ("nvjpegScaleFactor_t", size_of::<ScaleFactor>()),
        ("nvjpegExifOrientation_t", size_of::<ExifOrientation>()),
    ];
    for (name, size) in enums.into_iter().filter(|(name, _)| declared.contains(name)) {
        writeln!(assertions, "_Static_assert(sizeof({name}) == {size}, \"{name}\");").unwrap();
    }
    compile(&assertions).unwrap();
}
