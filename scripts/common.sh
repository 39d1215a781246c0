# shellcheck shell=bash
# Shared by the scripts of this folder; sourced, never run. Leaves the shell in the repository's root.
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

say() { printf '%s\n' "$*"; }
heading() { printf '\n== %s\n' "$*"; }
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# Runs a command silently; its output is shown only when it fails.
quietly() {
  local log status=0
  log=$(mktemp)
  "$@" >"$log" 2>&1 || status=$?
  [ "$status" -eq 0 ] || cat "$log" >&2
  rm -f "$log"
  return "$status"
}

# As many jobs as cores: ninja's own default of cores + 2 runs small machines out of memory in the template-heavy layers.
jobs() { echo "${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}"; }

configure() {  # PRESET [cmake arguments]
  local preset=$1
  shift
  local launcher=()
  if command -v ccache >/dev/null; then launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
  quietly cmake --preset "$preset" "${launcher[@]}" "$@"
}

build() {  # PRESET [targets]
  local preset=$1
  shift
  cmake --build --preset "$preset" --parallel "$(jobs)" ${1:+--target "$@"}
}
