#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rooftune/domain/experiment.hpp"
#include "rooftune/params/declared.hpp"

namespace rooftune::calibrate {

/// Where one metric stands in what a program wrote.
struct MetricSource {
  domain::Metric metric = domain::Metric::e2e_mean;
  std::optional<std::string> json;   ///< JSON pointer (RFC 6901) to a number: "/summary/e2e_ms"
  std::optional<std::string> regex;  ///< ECMAScript; its first group in the first match is the number
  double scale = 1.0;                ///< factor to milliseconds
  friend bool operator==(const MetricSource&, const MetricSource&) = default;
};

/// Somebody else's simulator as a study describes it: how to run it on one stage of an experiment, and where it says what.
/// Texts may hold placeholders: ${rate}, ${parameter:<name>} ... (docs/external_simulators.md).
struct ExternalSpec {
  std::string folder = ".";                  ///< of its files: ${folder}; counts from the study's folder
  std::vector<std::string> command;          ///< program and arguments; no shell
  std::map<std::string, std::string> files;  ///< written into the working directory before each run: name to content
  std::optional<std::string> output;         ///< file that it writes there; empty: its standard output
  std::vector<MetricSource> metrics;
  std::map<std::string, std::string> environment;  ///< beside PATH; nothing else is passed on
  double timeout_s = 300.0;                        ///< of one run
  std::string version;                             ///< changed by the user when the program changes in a way that no file shows
  std::vector<params::DeclaredParameter> parameters;
  friend bool operator==(const ExternalSpec&, const ExternalSpec&) = default;
};

/// The names that placeholders may have, beside "parameter:<name>".
[[nodiscard]] std::vector<std::string_view> placeholder_names();

/// The names of all placeholders in a text.
[[nodiscard]] std::vector<std::string> placeholders_in(std::string_view text);

/// The text with every placeholder replaced by its value, which must be there.
[[nodiscard]] std::string fill_in(std::string_view text, const std::map<std::string, std::string>& values);

}  // namespace rooftune::calibrate
