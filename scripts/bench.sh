#!/usr/bin/env bash
# Builds the release benchmarks and runs them: one line "name value unit" each; counters follow as "name/counter value unit".
#   bench.sh [benchmark arguments, e.g. --benchmark_filter=replay]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

bash scripts/install_dependencies.sh >&2
configure release -DROOFTUNE_BUILD_BENCHMARKS=ON
build release >&2
shopt -s nullglob
programs=(build/release/bin/*_bench)
[ "${#programs[@]}" -gt 0 ] || die "there are no benchmark programs in build/release/bin"
for program in "${programs[@]}"; do
  "$program" --benchmark_format=json "$@" | python3 scripts/bench_lines.py
done
python3 benchmarks/report_bench.py build/release/bin/rooftune
if [ -d build/release/python ]; then PYTHONPATH=build/release/python /usr/bin/python3 benchmarks/python_bench.py; fi
