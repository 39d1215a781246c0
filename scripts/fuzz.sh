#!/usr/bin/env bash
# Fuzzes the readers of foreign input with libFuzzer, one target after another.
#   fuzz.sh [--runs N] [--large-runs N] [--built FOLDER] [TARGET...]
# N inputs of up to 4 kB (200000), then of up to 256 kB (5000), from the target's corpus and dictionary; more than 10 s of its own
# time or 2 GB for one input count as a crash. New inputs and crashes stay in build/fuzz/found. One line a run, which is also added
# to build/fuzz/found/campaign.csv: target, longest input, inputs, coverage (edges), peak memory, seconds, crashes.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

runs=200000
large_runs=5000
programs=build/fuzz/bin
built=no
targets=()
while [ "$#" -gt 0 ]; do
  case $1 in
    --runs) runs=$2; shift 2 ;;
    --large-runs) large_runs=$2; shift 2 ;;
    --built) programs=$2; built=yes; shift 2 ;;
    -*) die "unknown argument '$1' (known: --runs, --large-runs, --built)" ;;
    *) targets+=("$1"); shift ;;
  esac
done
if [ "$built" = no ]; then
  configure fuzz
  build fuzz rooftune_fuzz >&2
fi
if [ "${#targets[@]}" -eq 0 ]; then mapfile -t targets <tests/fuzz/targets.txt; fi

# Most targets read a file: on a disk they would wait for it most of the time.
if [ -w /dev/shm ]; then export TMPDIR=/dev/shm; fi
folder=$(dirname "$programs")
table="$folder/found/campaign.csv"
mkdir -p "$folder/found"
[ -f "$table" ] || echo "target,most_bytes,inputs,edges,peak_mb,seconds,crashes" >"$table"
failed=0
fuzz() {  # TARGET RUNS LONGEST_BYTES
  local target=$1 log="$folder/found/$1.$3.log" dictionary=() crashes=0 result=0 inputs edges memory begin=$SECONDS
  mkdir -p "$folder/found/$target" "$folder/fuzz_corpus/$target"
  if [ -f "tests/fuzz/dictionaries/$target.dict" ]; then dictionary=("-dict=tests/fuzz/dictionaries/$target.dict"); fi
  # Leaks of libraries at exit are no concern here, lengths that cannot be allocated are.
  ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=0 "$programs/fuzz_$target" -runs="$2" -max_len="$3" -timeout=600 \
    -rss_limit_mb=2048 -len_control=20 -print_final_stats=1 -artifact_prefix="$folder/found/$target-" "${dictionary[@]}" \
    "$folder/found/$target" "$folder/fuzz_corpus/$target" >"$log" 2>&1 || result=$?
  [ "$result" -ne 72 ] || die "$target was interrupted; what it found is in $folder/found/$target"  # libFuzzer's own code for that
  if [ "$result" -ne 0 ]; then
    tail -n 40 "$log"
    crashes=1  # libFuzzer ends at the first
    failed=$((failed + 1))
  fi
  inputs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  edges=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
  memory=$(sed -n 's/^stat::peak_rss_mb: *//p' "$log")
  printf '%-18s up to %6d bytes: %s inputs, %s edges, %s MB, %d s, %d crashes\n' "$target" "$3" "$inputs" "$edges" "$memory" \
    "$((SECONDS - begin))" "$crashes"
  echo "$target,$3,$inputs,$edges,$memory,$((SECONDS - begin)),$crashes" >>"$table"
}
for target in "${targets[@]}"; do
  fuzz "$target" "$runs" 4096
  fuzz "$target" "$large_runs" 262144
done
[ "$failed" -eq 0 ]
