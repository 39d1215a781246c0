#!/usr/bin/env bash
# Writes the documents that come from the program itself: docs/parameters.md from the parameter registry.
#   generate_docs.sh [--check] [PROGRAM]
# --check compares instead of writing and fails when a document is out of date.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

document=docs/parameters.md
check=no
if [ "${1:-}" = --check ]; then check=yes && shift; fi
program=${1:-build/release/bin/rooftune}
[ -x "$program" ] || die "there is no program '$program' (build it first: scripts/quickstart.sh)"

fresh=$(mktemp)
trap 'rm -f "$fresh"' EXIT
"$program" params --markdown >"$fresh"
if [ "$check" = no ]; then
  cp "$fresh" "$document"
  say "wrote $document"
elif ! diff -u "$document" "$fresh"; then
  die "$document is out of date (run scripts/generate_docs.sh and commit the result)"
fi
