#!/usr/bin/env bash
# Installs what is missing, builds and runs the tests; ends with "N passed, N failed".
#   test.sh [--checked | --full]
# --checked adds the format, the house rules, headers on their own, and up to five minutes of cppcheck and clang-tidy on what has
# changed since the last release (scripts/check.sh --since-release).
# --full adds the long checks, the sanitizers (address + undefined behaviour; threads), scripts/fuzz.sh, all of
# scripts/check.sh, the linter of the report page, and the Debian packages on a bare system (scripts/release.sh --try).
# ROOFTUNE_TEST_PRESET names another preset for the plain run. Release is the default: it is what quickstart has built
# already, and the tests that fit and simulate take a fraction of their time in dev.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

passed=0
failed=0

count() {  # JUNIT_FILE: adds the outcome of one ctest run
  local counts
  counts=$(python3 - "$1" <<'PYTHON'
import sys, xml.etree.ElementTree as xml
suite = xml.parse(sys.argv[1]).getroot()
failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
print(int(suite.get("tests")) - failed - int(suite.get("skipped", 0)) - int(suite.get("disabled", 0)), failed)
PYTHON
  )
  passed=$((passed + ${counts% *}))
  failed=$((failed + ${counts#* }))
}

fail() {
  say "FAILED: $*"
  failed=$((failed + 1))
}

suite() {  # PRESET [ctest arguments]: builds everything, each public header on its own included, and runs the tests
  local preset=$1 folder=build/$1
  shift
  heading "$preset: build"
  # Instrumented presets have no Python module whatever is asked for.
  if ! configure "$preset" -DROOFTUNE_BUILD_PYTHON=ON || ! build "$preset" all all_verify_interface_header_sets; then
    fail "$preset does not build"
    return
  fi
  heading "$preset: tests"
  rm -f "$folder/tests.xml"
  # A failing test must not end the script before the count.
  ctest --test-dir "$folder" --parallel "$(jobs)" --output-on-failure --no-tests=error --output-junit tests.xml "$@" || true
  if [ -f "$folder/tests.xml" ]; then count "$folder/tests.xml"; else fail "$preset: ctest did not run"; fi
}

# Thread sanitizer needs a predictable memory layout, which some kernels' address randomisation denies it.
without_address_randomisation() {
  if setarch "$(uname -m)" --addr-no-randomize true 2>/dev/null; then
    setarch "$(uname -m)" --addr-no-randomize "$@"
  else
    "$@"
  fi
}

checks() {  # [check.sh arguments]
  heading "check.sh"
  if bash scripts/check.sh "$@"; then passed=$((passed + 1)); else fail "scripts/check.sh"; fi
}

# The linters have five minutes, and less where building and testing took long: all of it shall end within 32 minutes.
minutes_for_linters() {
  local left=$((32 - SECONDS / 60))
  echo $((left > 5 ? 5 : left < 1 ? 1 : left))
}

checked() {
  suite "$plain_preset" --label-exclude '^long$'
  checks --since-release --minutes "$(minutes_for_linters)"
}

full() {
  suite "$plain_preset"
  # What a sanitizer cannot add to: other people's builds, scripts, and the long statistical checks.
  local not_instrumented='^(build_rules|consumer|scripts|long)$'
  suite asan --label-exclude "$not_instrumented"
  suite tsan --label-exclude "$not_instrumented"
  heading "fuzz.sh"
  if bash scripts/fuzz.sh; then passed=$((passed + 1)); else fail "scripts/fuzz.sh"; fi
  checks
  heading "report page"
  local status=0
  bash scripts/lint_page.sh || status=$?
  case $status in
    0) passed=$((passed + 1)) ;;
    77) ;;  # it has said why
    *) fail "scripts/lint_page.sh" ;;
  esac
  heading "packages"
  if [ -n "$(git status --porcelain)" ]; then
    say "skipped: packages are made of a commit, and not all is committed"
  elif bash scripts/release.sh --try; then
    passed=$((passed + 1))
  else
    fail "scripts/release.sh --try"
  fi
}

plain_preset=${ROOFTUNE_TEST_PRESET:-release}
mode=${1:-default}
case $mode in
  default) bash scripts/install_dependencies.sh ;;
  --checked) bash scripts/install_dependencies.sh --with-checkers ;;
  --full)
    bash scripts/install_dependencies.sh --with-checkers --with-fuzzers --with-notebooks --with-packagers
    # Once for everything below: ctest starts every test from here.
    if [ -z "${ROOFTUNE_LAYOUT_FIXED:-}" ]; then
      export ROOFTUNE_LAYOUT_FIXED=yes
      without_address_randomisation bash scripts/test.sh --full
      exit
    fi
    ;;
  *) die "unknown argument '$mode' (known: --checked, --full)" ;;
esac

# Tests start python3 hundreds of times; a version manager's shim takes many times as long as the interpreter behind it.
PATH="$(python3 -c 'import os, sys; print(os.path.dirname(sys.executable))'):$PATH"

case $mode in
  default) suite "$plain_preset" --label-exclude '^long$' ;;
  --checked) checked ;;
  --full) full ;;
esac
say ""
say "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
