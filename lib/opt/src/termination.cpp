#include "rooftune/opt/termination.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "termination_words.hpp"

namespace rooftune::opt {

std::string_view name(Reason reason) {
  switch (reason) {
    case Reason::not_run: return "not_run";
    case Reason::converged: return "converged";
    case Reason::gradient_converged: return "gradient_converged";
    case Reason::evaluation_limit: return "evaluation_limit";
    case Reason::time_limit: return "time_limit";
    case Reason::target_reached: return "target_reached";
    case Reason::stalled: return "stalled";
    case Reason::refused_start: return "refused_start";
    case Reason::cancelled: return "cancelled";
    case Reason::failed: return "failed";
  }
  return "unknown";
}

std::string format(const Termination& termination) {
  if (termination.reason == Reason::stalled && termination.detail.starts_with(kAsGoodAsConverged)) return termination.detail;
  std::string text{termination.reason == Reason::stalled ? "stopped where steps became small" : name(termination.reason)};
  std::ranges::replace(text, '_', ' ');
  if (!termination.limit.empty()) text += fmt::format(" ({})", termination.limit);
  if (!termination.detail.empty()) text += fmt::format("; {}", termination.detail);
  return text;
}

}  // namespace rooftune::opt
