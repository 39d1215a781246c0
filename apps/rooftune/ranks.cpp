#include "ranks.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <string_view>

#include "mpi_transport.hpp"
#include "rooftune/core/digest.hpp"
#include "rooftune/ranks/team.hpp"
#include "rooftune/runs/interruption.hpp"
#include "rooftune/runs/run.hpp"
#include "rooftune/runs/study_file.hpp"
#include "rooftune/sim/simulate.hpp"
#include "terminal.hpp"

namespace rooftune::app {
namespace {

constexpr std::array<std::string_view, 3> kCommandsForRanks{"crossval", "improve", "recover"};

std::unique_ptr<ranks::Team>& team() {
  static std::unique_ptr<ranks::Team> instance;
  return instance;
}

int number_in(const char* variable) {
  const char* const text = std::getenv(variable);
  return text == nullptr ? 0 : std::atoi(text);
}

/// How many processes a launcher has started together: Open MPI's mpirun, MPICH's and Intel's (PMI), Slurm's srun with PMIx.
int started_together() {
  const bool by_srun = std::getenv("PMIX_RANK") != nullptr;
  return std::max({1, number_in("OMPI_COMM_WORLD_SIZE"), number_in("PMI_SIZE"), by_srun ? number_in("SLURM_STEP_NUM_TASKS") : 0});
}

/// Another processor may round elementary functions otherwise: the C library chooses its code by the processor.
std::string arithmetic() {
  core::Digest digest;
  for (int i = 1; i <= 200; ++i) {
    const double x = 0.01 * i;
    digest.add(std::exp(x), std::log(x), std::pow(x, 0.7), std::sin(x));
  }
  return digest.hex();
}

/// What this process would print is the leading rank's to print.
void fall_silent() {
  const int nowhere = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (nowhere >= 0) ::dup2(nowhere, STDOUT_FILENO);
  keep_what_is_said();
  runs::serve_another_process();
}

}  // namespace

void start_ranks() {
  if (started_together() == 1 || !has_mpi()) return;
  team() = ranks::make_team(
      make_mpi_transport(),
      {.warn = [](const std::string& warning) { say(fmt::format("warning: {}\n", warning)); }, .on_stop = runs::interrupt});
  if (serves()) fall_silent();
}

core::Diagnostics check_ranks(const std::vector<std::string>& words) {
  const int processes = started_together();
  if (processes == 1) return {};
  if (!has_mpi()) {
    return {{.position = {},
             .problem = fmt::format("{} processes were started together, and this rooftune was built without MPI", processes),
             .remedy = "start it without mpirun, or build it where libopenmpi-dev is installed"}};
  }
  const std::string command = words.empty() ? "" : words.front();
  if (std::ranges::find(kCommandsForRanks, command) != kCommandsForRanks.end()) return {};
  return {{.position = {},
           .problem = fmt::format("one process computes '{}', and {} were started together", command, processes),
           .remedy = fmt::format("start it without mpirun; several can compute {}", fmt::join(kCommandsForRanks, ", "))}};
}

int end_ranks(int exit_code) {
  if (!team()) return exit_code;
  const bool is_served = serves();
  if (is_served && exit_code != 0) team()->leave(what_was_said());
  team().reset();
  return is_served ? 0 : exit_code;
}

core::Ranks* ranks() { return team().get(); }
bool serves() { return team() && !team()->leads(); }

void agree_on(const runs::OpenedStudy& study, const std::vector<std::string>& others) {
  if (!team()) return;
  std::vector<std::string> lines{fmt::format("rooftune {} {}", runs::versions().at("rooftune"), sim::simulator_identity()),
                                 fmt::format("arithmetic {}", arithmetic())};
  for (const runs::InputFile& file : study.files) lines.push_back(fmt::format("{} {}", file.path, file.sha256));
  lines.push_back(fmt::format("study {}", core::sha256_hex(runs::study_text(study.prepared.spec))));
  lines.insert(lines.end(), others.begin(), others.end());
  team()->agree_on(lines);
}

}  // namespace rooftune::app
