#!/usr/bin/env bash
# Runs docs/newcomer.sh from another folder than the clone, and looks for its answers.
#   newcomer_check.sh PROGRAM SOURCE_DIR
set -euo pipefail
program=$1
source_dir=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/some where"
cd "$folder/some where"
bash "$source_dir/docs/newcomer.sh" "$program" >said.txt 2>errors.txt || {
  cat said.txt errors.txt
  exit 1
}
cat said.txt
grep -q 'E2E mean' said.txt
grep -q 'as in the measured run' said.txt
grep -Eq '^fewest GPUs: [0-9]+ ' said.txt
for file in run/tuned.json run/result.json report.html; do test -s "rooftune-first/$file"; done
