#!/usr/bin/env bash
# Instructions that one replay of the shipped H100 experiments takes, counted by callgrind: unlike times, they do not depend
# on what else the machine does. One line "name/instructions value 1" each.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

configure release -DROOFTUNE_BUILD_BENCHMARKS=ON
build release replay_bench >&2
counts="$(mktemp)"
trap 'rm -f "$counts"' EXIT
# min_time 0 runs a benchmark once or a few times; callgrind collects inside simulate() alone, so divide by the iterations.
count() {
  local name="$1" scalar="$2" iterations
  iterations="$(valgrind --tool=callgrind --callgrind-out-file="$counts" --collect-atstart=no \
    --toggle-collect="*rooftune::sim::simulate<$scalar*" build/release/bin/replay_bench \
    --benchmark_filter="^$name\$" --benchmark_min_time=0 --benchmark_format=json 2>/dev/null |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["benchmarks"][0]["iterations"])')"
  awk -v name="$name" -v iterations="$iterations" '/^(summary|totals):/ { printf "%s/instructions %.0f 1\n", name, $2 / iterations; exit }' "$counts"
}
count replay_all_1core double
count replay_all_1core_plain_stepping double
count replay_all_1core_with_straight_term double
count replay_all_1core_with_bent_term double
count replay_all_1core_16_derivatives ceres
