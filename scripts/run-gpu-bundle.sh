#!/usr/bin/env bash
# Runs the tests of a bundle made by scripts/bundle-gpu.sh, on a machine with a GPU. It lies in the bundle as run.sh.
#
#   gpu-bundle/run.sh [PATTERN]...     all tests, or the test programs whose name matches a shell pattern
#   gpu-bundle/run.sh --unpack         unpack only: tests/, examples/, benches/ (run those with --bench), bin/
#
# One line is printed for each program; the whole output goes to $OUT, or gpu-bundle/logs. TEST_TIMEOUT: seconds for
# one program (600).
set -uo pipefail
bundle=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$bundle")
files=$bundle/files
logs=${OUT:-$bundle/logs}

if [[ ! $files -nt $bundle/binaries.tar.xz ]]; then
    rm -rf "$files" "$files.part"
    mkdir "$files.part" || exit 1
    tar -C "$files.part" -xJf "$bundle/binaries.tar.xz" 2>/dev/null ||
        python3 -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2])' \
            "$bundle/binaries.tar.xz" "$files.part" || exit 1
    mv "$files.part" "$files"
fi
[[ ${1:-} != --unpack ]] || { echo "$files" && exit; }
[[ -f $files/tests.tsv ]] || { echo "the bundle holds no tests" >&2 && exit 2; }
mkdir -p "$logs"
: >"$logs/summary.txt"

wanted() {
    local name=$1 pattern
    shift
    (($# == 0)) && return
    for pattern in "$@"; do
        # shellcheck disable=SC2053 # a pattern is meant as one
        [[ $name == $pattern ]] && return
    done
    return 1
}

ran=0 failed=0
while IFS=$'\t' read -r name directory <&3; do
    wanted "$name" "$@" || continue
    arguments=()
    # Stream capture concerns the whole device, and free memory is everybody's: such tests run one at a time.
    [[ $name == *graph || $name == *capture || $name == *memory ]] && arguments+=(--test-threads=1)
    # Where the sources are here, a test runs in its package's directory, as cargo would run it.
    package=$root/$directory
    [[ -d $package ]] || package=$bundle

    start=$(date +%s.%N)
    (cd "$package" && CARGO_MANIFEST_DIR=$package exec timeout "${TEST_TIMEOUT:-600}" \
        "$files/tests/$name" "${arguments[@]}") >"$logs/$name.log" 2>&1 </dev/null
    status=$?
    seconds=$(date +%s.%N | awk -v start="$start" '{ printf "%.1f", $1 - start }')

    result=$(grep -o '[0-9]* passed; [0-9]* failed; [0-9]* ignored' "$logs/$name.log" | tail -1)
    verdict=ok
    case $status in
        0) ;;
        124) verdict=TIMEOUT ;;
        *) verdict=FAILED ;;
    esac
    {
        printf '%-8s %7s s  %-40s %s\n' "$verdict" "$seconds" "$name" "${result:-no summary, exit status $status}"
        ((status == 0)) || grep -E '^test .* FAILED$|panicked at' "$logs/$name.log" | head -20 | sed 's/^/         /'
    } | tee -a "$logs/summary.txt"
    ran=$((ran + 1))
    ((status == 0)) || failed=$((failed + 1))
done 3<"$files/tests.tsv"

echo "$ran test programs, $failed failed; logs in $logs" | tee -a "$logs/summary.txt"
((ran > 0 && failed == 0))
