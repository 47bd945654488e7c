#!/usr/bin/env bash
# Builds the tests, examples and benches here, for a machine that has a GPU but no Rust.
#
#   scripts/bundle-gpu.sh [--tests] [--examples] [--benches] [-p PACKAGE]...
#   scripts/bundle-gpu.sh --bench resnet --example resnet --test training ...
#
# A kind takes all of its programs, a name (`--test`, `--example`, `--bench`; a shell pattern will do) those that bear it:
# a few programs build sooner and make a small bundle. Without either all three kinds are built, without a package all
# packages. The result is gpu-bundle/, to be copied to the machine beside the sources some tests read;
# `gpu-bundle/run.sh` there runs the tests.
# Needs: Rust, a C compiler, binutils, Python 3.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() { sed -n '2,11s/^# \{0,1\}//p' "$0"; }

kinds=() packages=()
while (($#)); do
    case $1 in
        --tests | --examples | --benches) kinds+=("$1") ;;
        --test | --example | --bench) kinds+=("$1" "${2:?$1 needs a name}") && shift ;;
        -p | --package) packages+=(-p "${2:?$1 needs a package}") && shift ;;
        -h | --help) usage && exit ;;
        *) usage >&2 && exit 2 ;;
    esac
    shift
done
((${#kinds[@]})) || kinds=(--tests --examples --benches)
((${#packages[@]})) || packages=(--workspace)

bundle=gpu-bundle
rm -rf "$bundle"
mkdir -p "$bundle"
staging=$(mktemp -d)
trap 'rm -rf "$staging"' EXIT

# Tests that need a GPU are built as if there were one.
export OCELLI_GPU=1
messages=$staging/messages
cargo build --release --message-format=json-render-diagnostics "${packages[@]}" "${kinds[@]}" >"$messages"

# Prints, for each executable that was asked for: folder, name, its file, the package's directory (where cargo would run
# it). Cargo builds a package's programs along with its tests; those stay in bin/.
list_executables() {
    python3 - "$messages" "$PWD" "${kinds[@]}" <<'PYTHON'
import fnmatch, json, os, sys

messages, root, *kinds = sys.argv[1:]
folders = {"test": "tests", "example": "examples", "bench": "benches"}
arguments = iter(kinds)
# The patterns of each folder: a kind in the plural is all of it.
patterns = {folder: [] for folder in folders.values()}
for argument in arguments:
    kind = argument[2:]
    patterns[folders.get(kind, kind)].append(next(arguments) if kind in folders else "*")

# A package's identity ends in #NAME@VERSION, or in #VERSION where its folder bears its name.
def package_name(message):
    path, _, name = message["package_id"].rpartition("#")
    return name.rpartition("@")[0] or os.path.basename(path)

for line in open(messages):
    message = json.loads(line)
    if message.get("reason") != "compiler-artifact" or not message.get("executable"):
        continue
    target, directory = message["target"], os.path.dirname(message["manifest_path"])
    kind, name = target["kind"][0], target["name"]
    # An example is built as a test, too, where its own tests are to run.
    is_test = message["profile"]["test"] and kind != "bench"
    folder = "tests" if is_test else folders.get(kind, "bin")
    if folder != "bin" and not any(fnmatch.fnmatch(name, pattern) for pattern in patterns[folder]):
        continue
    if folder == "tests":
        unit = {"lib": "unit", "bin": "program-unit", "example": f"example-{name}"}
        name = f"{package_name(message)}-{unit.get(kind, name)}"
    print(folder, name, message["executable"], os.path.relpath(directory, root), sep="\t")
PYTHON
}

while IFS=$'\t' read -r folder name executable directory; do
    mkdir -p "$staging/files/$folder"
    strip -o "$staging/files/$folder/$name" "$executable"
    [[ $folder != tests ]] || printf '%s\t%s\n' "$name" "$directory" >>"$staging/files/tests.tsv"
done < <(list_executables)

# Every executable repeats the same libraries: one solid archive with a dictionary larger than one executable finds that.
(cd "$staging/files" && find . -type f | sort) | tar -C "$staging/files" -cf "$staging/binaries.tar" -T -
xz -T2 --lzma2=preset=6,dict=64MiB --stdout "$staging/binaries.tar" >"$bundle/binaries.tar.xz"
cp scripts/run-gpu-bundle.sh "$bundle/run.sh"

(cd "$staging/files" && du -ah --apparent-size . | sort -h | grep -v '\.tsv')
echo "$(du -h --apparent-size "$bundle/binaries.tar.xz" | cut -f1) in $bundle/binaries.tar.xz; run $bundle/run.sh on the GPU machine"
