#!/usr/bin/env bash
# What tools other than the compiler have to say: format, clang-tidy, cppcheck, house rules, self-contained headers.
#   check.sh [--fix] [--changed [REVISION] | --since-release] [--minutes N] [--without-linters]
# --fix formats the files in place and stops. --changed looks at the C++ files that differ from REVISION (default HEAD) alone,
# --since-release at those that differ from the newest tag v* (at all where there is none). --minutes ends cppcheck and clang-tidy
# after that time: what was changed last is looked at first, what was not reached is counted, and what is found is shown without
# failing: how far they get depends on the machine, and its speed must not decide. --without-linters leaves them out.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

preset=release
failures=()

cpp_files() {  # tracked and new files, those that changed last first; those that differ from $revision when it is set
  local names
  names=$({
    if [ -n "$revision" ]; then git diff --name-only --diff-filter=d "$revision"; else git ls-files; fi
    git ls-files --others --exclude-standard
  } | grep -E '^(lib|apps|python|tests)/.*\.[ch]pp$' | sort -u) || return 0
  {
    git diff --name-only HEAD
    git ls-files --others --exclude-standard
    git log --max-count=300 --format= --name-only
    printf '%s\n' "$names"
  } | awk '!seen[$0]++' | grep -F -x -f <(printf '%s\n' "$names")
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

# The same for a linter.
linter() {  # NAME COMMAND...
  if [ "$minutes" -eq 0 ]; then
    step "$@"
    return
  fi
  heading "$1"
  if "${@:2}"; then say "fine"; else say "findings: they fail check.sh without --minutes"; fi
}

# Without files clang-format would read from the terminal.
check_format() { [ "${#files[@]}" -eq 0 ] || clang-format --dry-run -Werror "${files[@]}"; }

# TOOL...: runs it on every source, side by side, until $deadline; says how many it did not reach.
on_each_source() {
  [ "${#sources[@]}" -gt 0 ] || return 0
  local looked_at status=0
  looked_at=$(mktemp)
  # The words after the deadline are the tool with its options; the last one is the file.
  # shellcheck disable=SC2016
  printf '%s\0' "${sources[@]}" | xargs -0 -n 1 -P "$(jobs)" bash -c '
    [ "$(date +%s)" -lt "$1" ] || exit 0
    echo . >>"$2"
    "${@:3}" 2>/dev/null' on_each_source "$deadline" "$looked_at" "$@" || status=$?
  local missed=$((${#sources[@]} - $(wc -l <"$looked_at")))
  rm -f "$looked_at"
  if [ "$missed" -gt 0 ]; then say "time is up: $missed of ${#sources[@]} sources were not looked at"; fi
  return "$status"
}

# Seconds from now, or the end of all days where no time was given.
set_deadline() { deadline=$((minutes > 0 ? $(date +%s) + $1 : 9999999999)); }

check_tidy() {
  set_deadline $((minutes * 40))
  on_each_source clang-tidy --quiet -p "build/$preset"
}

# Findings come on standard error.
check_cppcheck() {
  set_deadline $((minutes * 20))
  on_each_source bash -c 'cppcheck "$@" 2>&1' cppcheck --quiet --enable=warning,performance,portability --library=googletest \
    --std=c++20 --inline-suppr --suppressions-list=.cppcheck-suppressions --error-exitcode=1
}

check_headers() { build "$preset" all_verify_interface_header_sets; }

revision=
fix=no
minutes=0
linters=yes
while [ $# -gt 0 ]; do
  case $1 in
    --fix) fix=yes ;;
    --without-linters) linters=no ;;
    --changed)
      revision=HEAD
      if [ -n "${2:-}" ] && [ "${2#--}" = "$2" ]; then revision=$2 && shift; fi
      ;;
    --since-release) revision=$(git describe --tags --abbrev=0 --match 'v*' 2>/dev/null || true) ;;
    --minutes)
      minutes=${2:-}
      [[ $minutes =~ ^[1-9][0-9]*$ ]] || die "--minutes needs a whole number above 0"
      shift
      ;;
    *) die "unknown argument '$1' (known: --fix, --changed [REVISION], --since-release, --minutes N, --without-linters)" ;;
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
step "files of deploy/" /usr/bin/python3 -B scripts/check_deploy.py
step "headers on their own" check_headers
if [ "$linters" = yes ]; then
  linter "cppcheck" check_cppcheck
  linter "clang-tidy" check_tidy
fi
if [ "${#failures[@]}" -gt 0 ]; then
  say ""
  for failure in "${failures[@]}"; do say "failed: $failure"; done
  exit 1
fi
