#!/usr/bin/env bash
# Refits every config in configs/tuned/ from its study, then rewrites what is derived from them: the accuracy reference, README's
# quickstart table, and what README and docs/ show of commands (scripts/refresh_docs.py). Run it after a change that moves
# predictions, and look at the difference before committing it.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

program=build/release/bin/rooftune
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

refit() {  # COMMAND STUDY [options] -- CONFIG...: what the command tunes becomes each of the configs
  local command=$1 study=$2 config options=()
  shift 2
  while [ "$1" != -- ]; do options+=("$1") && shift; done
  shift
  heading "$study"
  "$program" "$command" "experiments/$study.yaml" "${options[@]}" --out "$work/$study" >"$work/$study.txt"
  tail -n 4 "$work/$study.txt"
  for config in "$@"; do cp "$work/$study/tuned.json" "configs/tuned/$config.json"; done
}

configure release
build release rooftune acceptance_tests

# Other GPUs start from the H100 fit, so that one comes first.
# Prediction intervals and onboarding need what it gets wrong on runs outside it.
refit fit physics_h100 --held-out -- h100.physics h100
refit fit roofline_v1_h100 -- h100.roofline_v1
refit onboard onboard_a100 -- a100.physics a100
refit onboard onboard_l40s -- l40s.physics l40s
# Serving points (closed loops), by kernel tables.
refit fit serving_h100 --held-out -- h100.serving
refit fit joint_h100 --held-out -- h100.joint
refit fit serving_hopper --held-out -- hopper.serving
for gpu in H200-SXM B200-SXM B300-SXM; do
  name=$(tr '[:upper:]' '[:lower:]' <<<"${gpu%%-*}")
  python3 scripts/carry_serving_config.py configs/tuned/hopper.serving.json --gpu "$gpu" --out "configs/tuned/$name.json"
done

heading "accuracy reference"
ROOFTUNE_UPDATE_EXPECTED=1 ctest --test-dir build/release --output-on-failure -R '^Accuracy\.'

heading "README"
"$program" fit experiments/quickstart.yaml --out "$work/quickstart" >"$work/quickstart.txt"
python3 - "$work/quickstart.txt" <<'PYTHON'
import pathlib, re, sys
printed = pathlib.Path(sys.argv[1]).read_text()
# The first table, and the line of the loss.
blocks = printed.strip("\n").split("\n\n")
table = blocks[0] + "\n" + next(line for line in printed.splitlines() if line.startswith("loss "))
readme = pathlib.Path("README.md")
text, count = re.subn(r"(<!-- quickstart output: begin[^\n]*\n```\n).*?(\n```\n<!-- quickstart output: end -->)",
                      lambda match: match[1] + table + match[2], readme.read_text(), flags=re.DOTALL)
if count != 1:
    sys.exit("README.md has no place for the quickstart's table")
readme.write_text(text)
PYTHON

heading "what README and docs/ show"
status=0
python3 scripts/refresh_docs.py --program "$program" || status=$?
git diff --stat
exit "$status"
