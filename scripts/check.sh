#!/usr/bin/env bash
# What tools other than the compiler have to say: format, clang-tidy, cppcheck, house rules, self-contained headers.
#   check.sh [--fix] [--changed [REVISION]]
# --fix formats the files in place and stops. --changed looks at the C++ files that differ from REVISION (default HEAD) alone.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

preset=release
failures=()

cpp_files() {  # tracked and new files; those that differ from $revision when it is set
  {
    if [ -n "$revision" ]; then git diff --name-only --diff-filter=d "$revision"; else git ls-files; fi
    git ls-files --others --exclude-standard
  } | grep -E '^(lib|apps|tests)/.*\.[ch]pp$' | sort -u || true
}
# The files among those of stdin that are compiled: clang-tidy needs to know how, and a new file may not be listed yet.
in_build() {
  local compiled='import json, os, sys; print(*{os.path.relpath(entry["file"]) for entry in json.load(open(sys.argv[1]))}, sep="\n")'
  grep -F -x -f <(python3 -c "$compiled" "build/$preset/compile_commands.json") || true
}

step() {  # NAME COMMAND...: goes on after a failure, so that one run tells everything
  heading "$1"
  if "${@:2}"; then say "fine"; else failures+=("$1"); fi
}

# Without files clang-format would read from the terminal.
check_format() { [ "${#files[@]}" -eq 0 ] || clang-format --dry-run -Werror "${files[@]}"; }

check_tidy() {
  [ "${#sources[@]}" -eq 0 ] || printf '%s\0' "${sources[@]}" | xargs -0 -n 1 -P "$(jobs)" clang-tidy --quiet -p "build/$preset" 2>/dev/null
}

check_cppcheck() {
  [ "${#sources[@]}" -eq 0 ] || cppcheck --quiet --enable=warning,performance,portability --library=googletest --std=c++20 \
    --inline-suppr --suppressions-list=.cppcheck-suppressions --error-exitcode=1 -j "$(jobs)" "${sources[@]}"
}

check_headers() { build "$preset" all_verify_interface_header_sets; }

revision=
fix=no
while [ $# -gt 0 ]; do
  case $1 in
    --fix) fix=yes ;;
    --changed)
      revision=HEAD
      if [ -n "${2:-}" ] && [ "${2#--}" = "$2" ]; then revision=$2 && shift; fi
      ;;
    *) die "unknown argument '$1' (known: --fix, --changed [REVISION])" ;;
  esac
  shift
done
bash scripts/install_dependencies.sh --with-checkers
mapfile -t files < <(cpp_files)
if [ "$fix" = yes ]; then
  clang-format -i "${files[@]}"
  exit
fi

configure "$preset"
mapfile -t sources < <(printf '%s\n' "${files[@]}" | in_build)
step "format (mend with: scripts/check.sh --fix)" check_format
step "house rules" python3 scripts/check_layers.py
step "headers on their own" check_headers
step "cppcheck" check_cppcheck
step "clang-tidy" check_tidy
if [ "${#failures[@]}" -gt 0 ]; then
  say ""
  for failure in "${failures[@]}"; do say "failed: $failure"; done
  exit 1
fi
