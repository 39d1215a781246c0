#pragma once

#include <memory>

#include "rooftune/ranks/transport.hpp"

namespace rooftune::app {

/// Whether this program was built with MPI.
[[nodiscard]] bool has_mpi();
/// The ranks that mpirun (or srun --mpi) has started, this one among them. Only where has_mpi().
[[nodiscard]] std::unique_ptr<ranks::Transport> make_mpi_transport();

}  // namespace rooftune::app
