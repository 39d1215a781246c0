#!/usr/bin/env bash
# Fuzzes the readers of foreign input with libFuzzer, one target after another.
#   fuzz.sh [--runs N] [--large-runs N] [--built FOLDER] [TARGET...]
# N inputs of up to 4 kB (200000), then of up to 256 kB (5000), from the target's corpus and dictionary; more than 10 s of its own
# time or 2 GB for one input count as a failure. New inputs stay in build/fuzz/found/TARGET. One line a run: inputs, coverage (edges), MB.
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

folder=$(dirname "$programs")
failed=0
fuzz() {  # TARGET RUNS LONGEST_BYTES
  local target=$1 log="$folder/found/$1.$3.log" dictionary=()
  mkdir -p "$folder/found/$target" "$folder/fuzz_corpus/$target"
  if [ -f "tests/fuzz/dictionaries/$target.dict" ]; then dictionary=("-dict=tests/fuzz/dictionaries/$target.dict"); fi
  # Leaks of libraries at exit are no concern here, lengths that cannot be allocated are.
  if ! ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=0 "$programs/fuzz_$target" -runs="$2" -max_len="$3" -timeout=600 \
    -rss_limit_mb=2048 -len_control=20 -print_final_stats=1 -artifact_prefix="$folder/found/$target-" "${dictionary[@]}" \
    "$folder/found/$target" "$folder/fuzz_corpus/$target" >"$log" 2>&1; then
    tail -n 40 "$log"
    failed=$((failed + 1))
  fi
  printf '%-18s up to %6d bytes: %s inputs, %s edges, %s MB\n' "$target" "$3" \
    "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" \
    "$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)" "$(sed -n 's/^stat::peak_rss_mb: *//p' "$log")"
}
for target in "${targets[@]}"; do
  fuzz "$target" "$runs" 4096
  fuzz "$target" "$large_runs" 262144
done
[ "$failed" -eq 0 ]
