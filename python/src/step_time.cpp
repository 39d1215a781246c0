// The step-time model of a config as a function of batches.
#include <algorithm>
#include <cstdint>
#include <mutex>

#include "bindings.hpp"
#include "requests.hpp"
#include "rooftune/core/limits.hpp"
#include "rooftune/runs/step_time_predictor.hpp"
#include "words.hpp"

namespace rooftune::python {
namespace {

using Counts = py::array_t<std::int64_t, py::array::forcecast>;

/// A predictor is not shared between threads; the lock makes a call from two of them wait.
struct StepTimeValue {
  runs::StepTimePredictor predictor;
  std::mutex mutex{};

  explicit StepTimeValue(runs::StepTimePredictor made) : predictor(std::move(made)) {}
};

std::unique_ptr<StepTimeValue> step_time(const Words& words) {
  StepTimeRequest request;
  read_words("step_time", words, [&](const app::Command& command) { add_step_time_options(command, request); });
  auto opened = [&] {
    const py::gil_scoped_release without_python;
    return runs::open_step_time(request.deployment, request.overrides);
  }();
  return std::make_unique<StepTimeValue>(value_of(std::move(opened)));
}

/// What is wrong with a batch, or null.
const char* problem_of(const latency::Batch& batch) {
  if (batch.decode_requests < 0 || batch.decode_context_tokens < 0) return "a number of a batch is below 0";
  constexpr std::int64_t kMostContext = std::int64_t{core::limits::kSequences} * core::limits::kTokens;
  if (batch.decode_requests > core::limits::kSequences || batch.decode_context_tokens > kMostContext) {
    return "a number of a batch is beyond what is simulated";
  }
  if (batch.decode_requests == 0 && batch.decode_context_tokens > 0) return "decode context is given without decoding requests";
  for (const latency::PrefillChunk& chunk : batch.prefills) {
    if (chunk.new_tokens < 1 || chunk.context_tokens < 0) return "a prefill computes less than one token, or has a context below 0";
    if (chunk.new_tokens > core::limits::kTokens || chunk.context_tokens > core::limits::kTokens) {
      return "a number of a batch is beyond what is simulated";
    }
  }
  if (batch.decode_requests == 0 && batch.prefills.empty()) return "a batch is empty";
  return nullptr;
}

[[noreturn]] void refuse_batch(const char* problem) { fail(problem, "give whole numbers of requests and tokens"); }

/// Steps side by side: element i of each array is a step, with one prefill where its new tokens are above 0.
py::array_t<double> steps(StepTimeValue& self, const Counts& requests, const Counts& context, const Counts& prefill_new,
                          const Counts& prefill_context) {
  const auto shapes_differ = [&](const Counts& other) {
    return other.ndim() != requests.ndim() || !std::equal(other.shape(), other.shape() + other.ndim(), requests.shape());
  };
  if (shapes_differ(context) || shapes_differ(prefill_new) || shapes_differ(prefill_context)) {
    fail("the arrays of a batch have different shapes", "broadcast them first");
  }
  py::array_t<double> result(std::vector<py::ssize_t>(requests.shape(), requests.shape() + requests.ndim()));
  const auto flat = [](const Counts& array) { return py::array_t<std::int64_t, py::array::c_style>::ensure(array); };
  const auto n = flat(requests);
  const auto tokens = flat(context);
  const auto new_tokens = flat(prefill_new);
  const auto old_tokens = flat(prefill_context);
  const std::int64_t* const n_data = n.data();
  const std::int64_t* const token_data = tokens.data();
  const std::int64_t* const new_data = new_tokens.data();
  const std::int64_t* const old_data = old_tokens.data();
  double* const out = result.mutable_data();
  const char* problem = nullptr;
  const auto count = static_cast<std::size_t>(result.size());
  {
    const py::gil_scoped_release without_python;
    const std::scoped_lock lock(self.mutex);
    for (std::size_t i = 0; i < count && problem == nullptr; ++i) {
      const latency::PrefillChunk chunk{.context_tokens = old_data[i], .new_tokens = new_data[i]};
      const bool has_prefill = chunk.new_tokens != 0 || chunk.context_tokens != 0;
      latency::Batch batch;
      if (has_prefill) batch.prefills = {&chunk, 1};
      batch.decode_requests = n_data[i];
      batch.decode_context_tokens = token_data[i];
      if (n_data[i] > 0) batch.decode_max_context_tokens = (token_data[i] + n_data[i] - 1) / n_data[i];
      problem = problem_of(batch);
      if (problem == nullptr) out[i] = self.predictor.microseconds(batch);
    }
  }
  if (problem != nullptr) refuse_batch(problem);
  return result;
}

/// One step with the context of every request.
struct OwnedBatch {
  std::vector<latency::PrefillChunk> prefills;
  std::vector<std::int64_t> contexts;

  OwnedBatch(const std::vector<std::int64_t>& decode_contexts, const std::vector<std::pair<std::int64_t, std::int64_t>>& chunks)
      : contexts(decode_contexts) {
    for (const auto& [context, fresh] : chunks) prefills.push_back({.context_tokens = context, .new_tokens = fresh});
  }
  [[nodiscard]] latency::Batch view() const {
    latency::Batch batch;
    batch.prefills = prefills;
    batch.decode_requests = static_cast<std::int64_t>(contexts.size());
    for (const std::int64_t context : contexts) {
      if (context < 0 || context > core::limits::kTokens) refuse_batch("a context is below 0 or beyond what is simulated");
      batch.decode_context_tokens += context;
      batch.decode_max_context_tokens = std::max(batch.decode_max_context_tokens, context);
    }
    batch.decode_contexts = contexts;
    if (const char* problem = problem_of(batch)) refuse_batch(problem);
    return batch;
  }
};

py::dict breakdown(StepTimeValue& self, const std::vector<std::int64_t>& decode_contexts,
                   const std::vector<std::pair<std::int64_t, std::int64_t>>& prefills) {
  const OwnedBatch batch(decode_contexts, prefills);
  const std::scoped_lock lock(self.mutex);
  const latency::StepBreakdown found = self.predictor.breakdown(batch.view());
  py::dict terms;
  for (const latency::StepTerm& term : found.terms) terms[py::str(std::string(term.name))] = term.duration_us;
  py::dict result;
  result["total_us"] = found.total_us;
  result["terms_us"] = terms;
  result["bound"] = std::string(found.bound);
  return result;
}

double one_step(StepTimeValue& self, const std::vector<std::int64_t>& decode_contexts,
                const std::vector<std::pair<std::int64_t, std::int64_t>>& prefills) {
  const OwnedBatch batch(decode_contexts, prefills);
  const std::scoped_lock lock(self.mutex);
  return self.predictor.microseconds(batch.view());
}

}  // namespace

void add_step_time(py::module_& module) {
  py::class_<StepTimeValue>(module, "StepTime")
      .def("steps", &steps, py::arg("decode_requests"), py::arg("decode_context_tokens"), py::arg("prefill_new_tokens"),
           py::arg("prefill_context_tokens"))
      .def("one_step", &one_step, py::arg("decode_contexts"), py::arg("prefills"))
      .def("breakdown", &breakdown, py::arg("decode_contexts"), py::arg("prefills"))
      .def_property_readonly("step_time_model", [](const StepTimeValue& self) { return self.predictor.config().step_time_model; })
      .def_property_readonly("model", [](const StepTimeValue& self) { return self.predictor.item().model.name; })
      .def_property_readonly("gpu", [](const StepTimeValue& self) { return self.predictor.item().gpu.name; })
      .def_property_readonly("tp", [](const StepTimeValue& self) { return self.predictor.item().experiment.deployment.tp; });
  module.def("step_time", &step_time, py::arg("words"));
}

}  // namespace rooftune::python
