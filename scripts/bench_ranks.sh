#!/usr/bin/env bash
# What computing on several processes costs: two ranks on this machine, and a simulated cluster of up to 1,000. One line
# "name value unit" each.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

bash scripts/install_dependencies.sh >&2
configure release -DROOFTUNE_BUILD_BENCHMARKS=ON
build release ranks_cluster ranks_overhead >&2
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
mpirun --oversubscribe --bind-to none -n 2 build/release/bin/ranks_overhead
build/release/bin/ranks_cluster
