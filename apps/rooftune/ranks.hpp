#pragma once

#include <string>
#include <vector>

#include "rooftune/core/diagnostics.hpp"
#include "rooftune/core/ranks.hpp"
#include "rooftune/runs/open_study.hpp"

namespace rooftune::app {

/// Joins the processes that mpirun has started for this command. Does nothing where there is one.
void start_ranks();
/// Why several processes cannot compute the command whose words these are.
[[nodiscard]] core::Diagnostics check_ranks(const std::vector<std::string>& words);
/// After the command, with its exit code; gives the process's own: who serves leaves judging to the one that leads.
[[nodiscard]] int end_ranks(int exit_code);

/// Those that compute this command together, or null.
[[nodiscard]] core::Ranks* ranks();
/// Whether this process serves another one: it computes, but neither prints nor writes.
[[nodiscard]] bool serves();

/// Once the study is open: what all ranks must have in common, `others` ("name text") beside it.
void agree_on(const runs::OpenedStudy& study, const std::vector<std::string>& others = {});

}  // namespace rooftune::app
