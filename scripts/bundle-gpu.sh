#!/usr/bin/env bash
# Builds the tests, examples and benches here, for a machine that has a GPU but no Rust.
#
#   scripts/bundle-gpu.sh [--tests] [--examples] [--benches] [-p PACKAGE]...
#
# Without a kind all three are built, without a package all packages. The result is gpu-bundle/, to be copied to the
# machine beside the sources some tests read; `gpu-bundle/run.sh` there runs the tests.
# Needs: Rust, a C compiler, binutils, Python 3.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() { sed -n '4,8s/^# \{0,1\}//p' "$0"; }

kinds=() packages=()
while (($#)); do
    case $1 in
        --tests) kinds+=(--tests) ;;
        --examples) kinds+=(--examples) ;;
        --benches) kinds+=(--benches) ;;
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

# Prints, for each executable: folder, name, its file, the package's directory (where cargo would run it).
list_executables() {
    python3 - "$messages" "$PWD" "${kinds[@]}" <<'PYTHON'
import json, os, sys

messages, root, *kinds = sys.argv[1:]
folders = {"test": "tests", "example": "examples", "bench": "benches"}

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
    folder = folders.get(kind, "tests" if message["profile"]["test"] else "bin")
    if folder != "bin" and f"--{folder}" not in kinds:
        continue
    if folder == "tests":
        unit = {"lib": "unit", "bin": "program-unit"}
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
