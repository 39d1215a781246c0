#!/usr/bin/env bash
# From nothing to an answer: how many GPUs does a load need, and how far off is that? Run it from any folder; it writes into
# ./rooftune-first and tells what each step says. A test runs it as it stands.
#
#   bash CLONE/docs/newcomer.sh            installs what is missing (Debian bookworm), builds, and goes on
#   bash CLONE/docs/newcomer.sh PROGRAM    goes on with a rooftune that is there
set -euo pipefail

clone=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
program=${1:-}
step() { printf '\n### %s\n' "$*"; }

if [ -z "$program" ]; then
  step "Install and build"
  bash "$clone/scripts/install_dependencies.sh"
  (cd "$clone" && source scripts/common.sh && configure release && build release rooftune)
  program=$clone/build/release/bin/rooftune
fi
mkdir -p rooftune-first
cd rooftune-first

step "How wrong is the config that ships, on a run of Llama-3.1-70B that was measured?"
"$program" evaluate --ground-truth "$clone/ground_truth/h100.json" --select id=60

step "Calibrate on three measured runs yourself, and look at it: open rooftune-first/report.html"
cat >study.yaml <<STUDY
name: first
data:
  ground_truth: ['$clone/ground_truth/h100.json']
  select: {id: ['60', '61', '64']}
start: {step_time_model: physics}
free: [frontend.constant_us, physics.t_layer_us, physics.weight_bandwidth_fraction]
solver: [{algorithm: ceres_lm, max_evaluations: 20}]
STUDY
"$program" fit study.yaml --out run
"$program" report run -o report.html

step "How many GPUs do 20 requests/s of that run's kind need, first tokens within 500 ms in nine of ten?"
"$program" capacity --like "$clone/ground_truth/h100.json" --select id=60 --objective ttft_p90=500 --load 20 --duration 20
