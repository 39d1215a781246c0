#pragma once

#include <cstdint>
#include <string>

#include "rooftune/calibrate/inspect.hpp"

namespace rooftune::runs {

/// Every step of a simulation as CSV: what it worked on, its duration, the terms of the step-time model, and which rules.
class StepTraceCsv final : public calibrate::InspectionSink {
 public:
  void on_step(const sim::StepEvent& event, const latency::StepBreakdown& breakdown) override;
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string text_;
  std::int64_t step_ = 0;
};

/// The steps as slices and batch size, queue and KV use as counters, for chrome://tracing and Perfetto.
class ChromeTrace final : public calibrate::InspectionSink {
 public:
  void on_step(const sim::StepEvent& event, const latency::StepBreakdown& breakdown) override;
  /// The whole JSON file.
  [[nodiscard]] std::string text() const;

 private:
  std::string events_;
};

/// Every request as CSV, in order of completion; refused ones have no times, and the reason as their status. Times are those of the engine: front-end latencies come on top.
class RequestTable final : public calibrate::InspectionSink {
 public:
  void on_finished(const sim::RequestEvent& event) override;
  void on_rejected(const sim::RejectionEvent& event) override;
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string text_ =
      "stage,index,arrival_us,first_token_us,finished_us,ttft_us,e2e_us,prompt_tokens,cached_tokens,output_tokens,preemptions,"
      "status\n";
};

}  // namespace rooftune::runs
