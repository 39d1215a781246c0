#!/usr/bin/env bash
# Formats and lints the report page's JavaScript with the tools that its writers use everywhere; Debian's eslint is too old for its
# syntax. They come from npm, pinned, into build/, and are no part of the program. Ends with 77 where there is no npm.
#   lint_page.sh [--fix]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

if ! command -v npm >/dev/null; then
  say "there is no npm: the report page is not linted (install Debian's npm)"
  exit 77
fi
tools=build/page-tools
if [ ! -x "$tools/node_modules/.bin/eslint" ] || [ ! -x "$tools/node_modules/.bin/prettier" ]; then
  mkdir -p "$tools"
  quietly npm install --prefix "$tools" --no-save --no-audit --no-fund eslint@9.17.0 prettier@3.4.2
fi
format=--check
if [ "${1:-}" = --fix ]; then format=--write; fi
"$tools/node_modules/.bin/prettier" "$format" --print-width 130 'lib/report/page/**/*.js'
"$tools/node_modules/.bin/eslint" --config lib/report/page/eslint.config.js lib/report/page
