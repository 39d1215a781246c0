#include "numbers.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>

namespace rooftune::report {
namespace {

/// An error above this is shown as bad, below a quarter of it as good.
constexpr double kBadPercent = 20.0;

}  // namespace

std::string short_title(domain::Metric metric) {
  const std::string_view name = domain::metric_name(metric);
  std::string title(name.substr(0, name.find('_')));
  std::ranges::transform(title, title.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return title;
}

std::string metric_title(domain::Metric metric) {
  const std::string_view name = domain::metric_name(metric);
  const std::size_t first = name.find('_');
  return short_title(metric) + " " + std::string(name.substr(first + 1, name.rfind('_') - first - 1));
}

std::string milliseconds(double value_ms) {
  if (std::abs(value_ms) >= 1000.0) return fmt::format("{:.0f}", value_ms);
  if (std::abs(value_ms) >= 100.0) return fmt::format("{:.1f}", value_ms);
  return fmt::format("{:.2f}", value_ms);
}

Cell signed_percent(double percent) {
  const double size = std::abs(percent);
  const Tone tone = size > kBadPercent ? Tone::bad : (size < 0.25 * kBadPercent ? Tone::good : Tone::plain);
  return {fmt::format("{:+.1f}", percent), tone};
}

std::string percent(double percent) { return fmt::format("{:.1f}", percent); }

std::string significant(double value) { return fmt::format("{:.4g}", value); }

std::string stage_title(int stage) { return stage == domain::kSummaryStage ? "summary" : fmt::format("{}", stage); }

std::string titled(std::string_view title, std::string table) { return fmt::format("\n{}\n{}", title, table); }

std::optional<double> mean_ape(const eval::Evaluation& evaluation, domain::Metric metric) {
  const auto found = evaluation.overall.find(metric);
  if (found == evaluation.overall.end()) return std::nullopt;
  return found->second.mean_ape_percent;
}

}  // namespace rooftune::report
