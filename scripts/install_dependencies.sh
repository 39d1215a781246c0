#!/usr/bin/env bash
# Installs what building and testing need, from Debian bookworm's packages. Does nothing when everything is there.
#   install_dependencies.sh [--with-checkers] [--with-fuzzers] [--with-notebooks] [--with-packagers] [--without-browser] [--list]
# --with-checkers adds what scripts/check.sh needs, --with-fuzzers what scripts/fuzz.sh needs, --with-notebooks what users of the Python
# module like to have and its tests can do without, --with-packagers what wheels and release.sh --try need; --without-browser leaves out the one that opens reports in tests, which is big;
# --list prints the package names and stops.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

packages=(
  # tools
  cmake ninja-build g++ python3 git ca-certificates ccache
  # optimisers, distributions, parallel maps, derivative-carrying scalars
  libnlopt-dev libnlopt-cxx-dev libceres-dev libboost-math-dev libtbb-dev
  # files
  libyaml-cpp-dev nlohmann-json3-dev libfccp-dev libsqlitecpp-dev libsqlite3-dev libssl-dev
  # regular expressions from studies and models, in bounded time
  libre2-dev
  # program and messages
  libcli11-dev libfmt-dev libspdlog-dev libexpected-dev
  # requests to a server that is observed
  libcurl4-openssl-dev
  # the page of a run that goes on
  libcpp-httplib-dev pkgconf
  # several processes and machines
  libopenmpi-dev openmpi-bin iproute2
  # formulas that tie parameters
  libmuparser-dev
  # plots of HTML reports
  libjs-vega
  # tests and benchmarks
  libgtest-dev libgmock-dev librapidcheck-dev libbenchmark-dev
  # JSON Schemas, and YAML as editors read it
  python3-jsonschema python3-ruamel.yaml
  # the Python module and its tests
  python3-dev pybind11-dev python3-numpy python3-pytest
  # the other shell that completion is tested in
  zsh
)
browser=(chromium fonts-liberation)  # opens reports in tests; fonts so that their text has a width
checkers=(clang-format clang-tidy cppcheck)
# Fuzz targets; the runtime is only recommended by the compiler.
fuzzers=(clang-14 libclang-rt-14-dev)
# Frames, plots, solvers of others, notebooks, and the checker of type stubs.
notebooks=(python3-pandas python3-matplotlib python3-scipy python3-lmfit python3-nbclient python3-nbformat python3-ipykernel python3-mypy)
packagers=(python3-pip python3-venv python3-setuptools python3-wheel dpkg-dev mmdebstrap)

is_installed() { [ "$(dpkg-query --show --showformat '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

missing_packages() {
  local package
  for package in "${packages[@]}"; do
    is_installed "$package" || printf '%s\n' "$package"
  done
}

apt() { quietly "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::Retries=3 "$@"; }

install_missing() {
  as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || die "packages are missing and this is neither root nor a machine with sudo; have somebody install: ${missing[*]}"
    as_root=(sudo)
  fi
  say "installing ${#missing[@]} packages: ${missing[*]}"
  apt update
  apt install --yes --no-install-recommends "${missing[@]}"
}

list=no
with_browser=yes
for argument in "$@"; do
  case $argument in
    --with-checkers) packages+=("${checkers[@]}") ;;
    --with-fuzzers) packages+=("${fuzzers[@]}") ;;
    --with-notebooks) packages+=("${notebooks[@]}") ;;
    --with-packagers) packages+=("${packagers[@]}") ;;
    --without-browser) with_browser=no ;;
    --list) list=yes ;;
    *) die "unknown argument '$argument' (known: --with-checkers, --with-fuzzers, --with-notebooks, --with-packagers, --without-browser, --list)" ;;
  esac
done
if [ "$with_browser" = yes ]; then packages+=("${browser[@]}"); fi
if [ "$list" = yes ]; then
  printf '%s\n' "${packages[@]}"
  exit
fi
if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  die "this is not a Debian system; install the equivalents of: ${packages[*]}"
fi
mapfile -t missing < <(missing_packages)
if [ "${#missing[@]}" -gt 0 ]; then install_missing; fi
