#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "command_line.hpp"
#include "exit_code.hpp"
#include "rooftune/calibrate/study_spec.hpp"
#include "rooftune/runs/run.hpp"

namespace rooftune::app {

/// The command line after the program's name, which manifests keep.
void remember_command_line(int argument_count, char** arguments);

/// Where a run writes, and what it knows already.
struct RunFlags {
  std::optional<std::string> folder;
  bool resume = false;
  std::optional<std::string> store;
  std::optional<std::string> replay;
};

/// --out.
void add_out_option(const Command& command, RunFlags& flags, const std::string& default_folder);
/// --out, --resume, --store, --replay.
void add_run_options(const Command& command, RunFlags& flags, const std::string& default_folder);

[[nodiscard]] runs::RunOptions run_options(const RunFlags& flags);

/// Says that nothing is left to do.
[[nodiscard]] ExitCode say_finished(const runs::Run& run);

/// One line about evaluations that came from the store, or nothing.
[[nodiscard]] std::string store_summary(const runs::Run& run);

[[nodiscard]] std::string evaluation_counts(long found, long computed);

/// What to do about a simulator whose failure has ended the run.
[[nodiscard]] core::Diagnostic simulator_failed(const runs::Run& run, const std::string& failure, const calibrate::StudySpec& spec);

/// A study may come from somebody else, and its simulator is a program that this user then runs: says on standard error which one,
/// before the first run.
void announce_program(const runs::OpenedStudy& study);
/// The same of the program that a study lets propose changes.
void announce_proposer(const calibrate::ProposerSpec& proposer);

/// What the first Ctrl-C is answered with.
void say_ending();
/// A run that ended early: what of it is finished, and how it goes on.
[[nodiscard]] ExitCode end_interrupted(const runs::Run& run, std::string_view done);
inline constexpr const char* kNothingKept = "nothing is kept to go on from";
/// The same of a command without a run folder.
[[nodiscard]] ExitCode end_interrupted_without_folder(const std::string& study, std::string_view done,
                                                      const std::string& way_on = kNothingKept);

}  // namespace rooftune::app
