#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "rooftune/calibrate/prediction_intervals.hpp"
#include "rooftune/core/parallel_map.hpp"
#include "rooftune/domain/experiment.hpp"
#include "rooftune/domain/gpu.hpp"
#include "rooftune/eval/dataset.hpp"
#include "rooftune/eval/evaluate.hpp"
#include "rooftune/kernels/tables.hpp"
#include "rooftune/params/config.hpp"

/// What a report draws beside the results of a run: values computed from the run's config and data.
namespace rooftune::plan {

/// What the load of an experiment is counted in.
enum class LoadUnit { requests_per_second, clients };

/// Latencies at one load level.
struct CurvePoint {
  double load = 0.0;
  int stage = 0;  ///< the measured stage, or the one whose duration and history a simulated point shares
  domain::Latencies latencies;
  double output_tokens_per_s = 0.0;                        ///< simulated points only
  std::vector<calibrate::PredictionInterval> intervals{};  ///< of the means at simulated points, where a level was asked for
};

/// How latency grows with load in one deployment. A simulated point replaces the nearest measured stage's load and keeps its
/// duration and the stages before it, so that the curve runs through the predictions of the evaluation.
struct LoadCurve {
  std::string experiment;
  LoadUnit unit = LoadUnit::requests_per_second;
  std::vector<CurvePoint> simulated;  ///< by load
  std::vector<CurvePoint> measured;   ///< by stage
};

struct LoadCurveOptions {
  int points = 16;            ///< of each curve, spread evenly in the logarithm of the load
  double beyond = 1.4;        ///< curves reach from lowest / beyond to highest * beyond of the measured loads
  double max_requests = 2e4;  ///< a stage with more is not simulated: it adds time and no knowledge
  std::optional<calibrate::IntervalOptions> intervals{};  ///< around simulated points; configs without uncertainty have none
  core::ThreadCount threads{};                            ///< the result does not depend on it
};

/// A curve for every case whose load is a rate or a number of clients; traces have none.
[[nodiscard]] std::vector<LoadCurve> load_curves(const eval::Dataset& dataset, const params::Config& config,
                                                 const LoadCurveOptions& options = {});

/// What a deployment's GPUs give and what one of its users sees: the axes on which deployments are compared.
struct Pace {
  double tokens_per_s_per_gpu = 0.0;   ///< clients x mean output / mean E2E: a loop in its steady state
  double tokens_per_s_per_user = 0.0;  ///< 1 / mean TPOT
};

/// One number of clients of a sweep.
struct InteractivityPoint {
  std::string experiment;
  int clients = 0;
  Pace predicted;
  Pace measured;
};

/// Throughput against interactivity: the experiments of one sweep, by clients.
struct InteractivityCurve {
  std::string sweep;
  std::string model;
  std::string gpu;
  int tp = 1;
  std::vector<InteractivityPoint> points;
};

/// A curve for every sweep of closed loops of which two or more experiments have rows with a mean TPOT and a mean E2E, or a mean TTFT
/// to make it from. Predicted and measured paces come from latencies in the same way.
[[nodiscard]] std::vector<InteractivityCurve> interactivity_curves(const eval::Dataset& dataset, const std::vector<eval::Row>& rows);

/// One step's time by term of the step-time model.
struct StepSample {
  std::string batch;  ///< "8 decodes"; "512-token prefill"
  double decode_requests = 0.0;
  double prefill_tokens = 0.0;
  double total_us = 0.0;  ///< terms need not add up to it: maxima and norms overlap
  std::string bound;
  std::vector<double> terms_us;  ///< in the order of StepTimeByBatch::terms
};

/// Where a step's time goes in one deployment, from one decoding request to a full batch, and for prefills alone.
struct StepTimeByBatch {
  std::string model;
  std::string gpu;
  int tp = 1;
  double context_tokens = 0.0;  ///< of every decoding request: the data's mean prompt and half its output
  std::vector<std::string> terms;
  std::vector<StepSample> samples;
};

/// One for every (model, GPU, TP) of the dataset, in its order.
[[nodiscard]] std::vector<StepTimeByBatch> step_time_by_batch(const eval::Dataset& dataset, const params::Config& config);

/// One measured kernel in the roofline plane.
struct KernelPoint {
  std::string kernel;  ///< "GEMM", "prefill attention", "decode attention"
  kernels::NumberFormat format = kernels::NumberFormat::bf16;
  std::string shape;             ///< "m 16, n 4096, k 4096"
  double flops_per_byte = 0.0;   ///< work over the bytes that must move: weights or KV, inputs and outputs
  double achieved_tflops = 0.0;  ///< TFLOP/s
  double latency_us = 0.0;
};

/// Measured kernels of a GPU under its data sheet's roofs.
struct KernelRoofline {
  std::string gpu;
  std::string engine;
  double bandwidth_tbs = 0.0;                  ///< TB/s
  double peak_bf16_tflops = 0.0;               ///< TFLOP/s
  std::optional<double> peak_fp8_tflops = {};  ///< TFLOP/s
  std::size_t measured = 0;                    ///< rows in the tables
  std::vector<KernelPoint> points;             ///< evenly thinned, in the tables' order
};

/// `most_per_kernel`: points kept of each kernel and format. Rows must be sound (kernels::normalise).
[[nodiscard]] KernelRoofline kernel_roofline(const kernels::MeasuredKernels& kernels, const domain::GpuSpec& gpu,
                                             std::size_t most_per_kernel = 300);

}  // namespace rooftune::plan
