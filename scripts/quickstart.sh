#!/usr/bin/env bash
# From a fresh clone to a calibrated hardware config: installs what is missing, builds the program, fits the shipped experiments,
# writes a report.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

program=build/release/bin/rooftune
run_folder=runs/quickstart-$(date +%Y%m%d-%H%M%S)

heading "1/3 dependencies"
bash scripts/install_dependencies.sh --without-browser

heading "2/3 building $program (minutes the first time, seconds afterwards)"
configure release
build release rooftune  # the program alone: tests would double the wait

heading "3/3 calibrating: $program fit experiments/quickstart.yaml --out $run_folder"
"$program" fit experiments/quickstart.yaml --out "$run_folder"
"$program" report "$run_folder" >/dev/null

say ""
say "program       $program (try: $program --help)"
say "study         experiments/quickstart.yaml"
say "run folder    $run_folder"
say "tuned config  $run_folder/tuned.json"
say "report        $run_folder/report.html (open it in a browser: how wrong it is, where, how sure, what next)"
