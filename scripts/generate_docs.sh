#!/usr/bin/env bash
# Writes what comes from the program itself: docs/parameters.md from the parameter registry, the schemas of what users write
# (schema/), and from all schemas the tables in docs/file_formats.md.
#   generate_docs.sh [--check] [PROGRAM]
# --check compares instead of writing and fails when something is out of date.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

check=no
if [ "${1:-}" = --check ]; then check=yes && shift; fi
program=${1:-build/release/bin/rooftune}
[ -x "$program" ] || die "there is no program '$program' (build it first: scripts/quickstart.sh)"

fresh=$(mktemp)
trap 'rm -f "$fresh"' EXIT

put() {  # FILE COMMAND...: what the command prints becomes the file
  local file=$1
  "${@:2}" >"$fresh"
  if [ "$check" = no ]; then
    cp "$fresh" "$file"
    say "wrote $file"
  elif ! diff -u "$file" "$fresh"; then
    die "$file is out of date (run scripts/generate_docs.sh and commit the result)"
  fi
}

put docs/parameters.md "$program" params --markdown
for name in config gpus study; do put "schema/$name.schema.json" "$program" schema "$name"; done
if [ "$check" = no ]; then python3 scripts/schema_docs.py; else python3 scripts/schema_docs.py --check; fi
