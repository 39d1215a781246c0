// Studies: opened, fitted, cross-validated, evaluated, onboarded. Each function is its command's story without the terminal.
#include <algorithm>
#include <string_view>

#include "bindings.hpp"
#include "rooftune/calibrate/crossval.hpp"
#include "rooftune/calibrate/fit.hpp"
#include "rooftune/calibrate/held_out_error.hpp"
#include "rooftune/data/peers.hpp"
#include "rooftune/eval/assumptions.hpp"
#include "rooftune/eval/evaluate.hpp"
#include "rooftune/eval/noise.hpp"
#include "rooftune/eval/peers.hpp"
#include "rooftune/plan/onboard.hpp"
#include "rooftune/runs/evaluation_file.hpp"
#include "rooftune/runs/kept_config.hpp"
#include "rooftune/runs/onboard_file.hpp"
#include "rooftune/runs/outcome.hpp"
#include "rooftune/runs/result_file.hpp"
#include "rooftune/runs/run.hpp"
#include "rooftune/runs/tables_csv.hpp"
#include "words.hpp"

namespace rooftune::python {
namespace {

namespace fs = std::filesystem;

/// An evaluation, alone or as a part of another result that lives as long.
struct EvaluationValue {
  std::shared_ptr<const eval::Evaluation> evaluation;
  std::vector<eval::PeerComparison> peers{};
  std::optional<eval::Noise> noise{};
};

struct FitValue {
  std::shared_ptr<const calibrate::FitResult> result;
  ConfigValue tuned;
  std::optional<std::string> folder;
};

struct CrossvalValue {
  std::shared_ptr<const calibrate::CrossValidation> result;
  std::vector<eval::PeerComparison> peers;
  std::optional<std::string> folder;
};

struct OnboardingValue {
  std::shared_ptr<const plan::Onboarding> result;
  ConfigValue tuned;
  std::optional<std::string> folder;
};

/// Where a run writes; without a folder it keeps nothing.
struct RunWords {
  std::optional<fs::path> out;
  bool resume = false;
  std::optional<fs::path> store;
  std::optional<fs::path> replay;
};

RunWords run_words(std::optional<fs::path> out, bool resume, std::optional<fs::path> store, std::optional<fs::path> replay) {
  if (store && replay) fail("both a store and a replay are given", "give one of them");
  if (!out && (resume || store || replay)) fail("resume, store and replay belong to a run folder", "give out");
  return {.out = std::move(out), .resume = resume, .store = std::move(store), .replay = std::move(replay)};
}

/// The command line that does the same, for the manifest.
Words command_line(const StudyValue& study, const std::string& command, const RunWords& run, const Words& own) {
  Words words{command};
  if (study.path) words.push_back(*study.path);
  words.insert(words.end(), study.words.begin(), study.words.end());
  words.insert(words.end(), own.begin(), own.end());
  if (run.out) words.insert(words.end(), {"--out", run.out->string()});
  if (run.resume) words.emplace_back("--resume");
  if (run.store) words.insert(words.end(), {"--store", run.store->string()});
  if (run.replay) words.insert(words.end(), {"--replay", run.replay->string()});
  return words;
}

/// A study of its own for one run: what failed in another is forgotten, and what the run asks for beside stays with it.
std::unique_ptr<runs::OpenedStudy> own_study(const StudyValue& study) {
  auto own = std::make_unique<runs::OpenedStudy>(study.opened);
  const auto failures = std::make_shared<eval::Failures>(study.opened.prepared.dataset.failures->policy());
  own->prepared.dataset.failures = failures;
  own->prepared.held_out.failures = failures;
  return own;
}

std::string name_of(const StudyValue& study) { return study.path.value_or("the ground truth"); }

/// Opens the run folder where one is wanted.
std::unique_ptr<runs::Run> begin(const runs::OpenedStudy& own, const StudyValue& study, const std::string& command,
                                 const RunWords& run, const Words& words) {
  if (!run.out) return nullptr;
  auto begun = value_of(runs::begin(own, command, runs::Keeps::evaluations,
                                    {.folder = run.out,
                                     .resume = run.resume,
                                     .store = run.store,
                                     .replay = run.replay,
                                     .arguments = command_line(study, command, run, words)}));
  if (begun->is_finished()) {
    fail("'" + run.out->string() + "' holds this run, finished: nothing to resume", "read its result.json, or give another out");
  }
  return begun;
}

calibrate::StoreUse store_of(const std::unique_ptr<runs::Run>& run) { return run ? run->store() : calibrate::StoreUse{}; }

std::shared_ptr<StudyValue> open_study(const std::optional<std::string>& path, const Words& words, bool use_shipped_config) {
  runs::StudyOverrides overrides = read_overrides("open_study", words);
  overrides.use_shipped_config = use_shipped_config;
  auto opened = [&] {
    const py::gil_scoped_release without_python;
    return path ? runs::open_study(*path, overrides, runs::Simulators::any) : runs::open_ground_truth(overrides);
  }();
  auto study = std::make_shared<StudyValue>(StudyValue{.opened = value_of(std::move(opened)), .path = path, .words = words});
  warn(study->opened.prepared.dataset.warnings);
  return study;
}

py::dict progress_of(const calibrate::FitProgress& progress) {
  py::dict entry;
  entry["evaluations"] = progress.evaluations;
  entry["most_evaluations"] = progress.most_evaluations;
  entry["objective"] = progress.best_objective;
  entry["seconds"] = progress.seconds;
  entry["held_out_percent"] = progress.held_out_percent;
  return entry;
}

void add_folds(py::dict& entry, std::size_t finished, std::size_t total) {
  entry["finished"] = finished;
  entry["total"] = total;
}

FitValue fit(const StudyValue& study, std::optional<fs::path> out, bool resume, std::optional<fs::path> store,
             std::optional<fs::path> replay, bool held_out, const std::vector<std::string>& profile, std::optional<int> bootstrap,
             bool hardware_config, py::object progress) {
  const RunWords run_in = run_words(std::move(out), resume, std::move(store), std::move(replay));
  const auto own = own_study(study);
  calibrate::StudySpec& spec = own->prepared.spec;
  check(calibrate::ask_for_uncertainty(spec, profile, bootstrap));
  if (spec.free.empty())
    throw Problem(
        {{.position = {.file = name_of(study)}, .problem = "the study leaves no parameter free", .remedy = "list some under 'free'"}});
  if (held_out && !spec.split)
    throw Problem({{.position = {.file = name_of(study)},
                    .problem = "held_out needs a study that says how to split",
                    .remedy = "add 'crossval' to it"}});
  Words words;
  if (held_out) words.emplace_back("--held-out");
  for (const std::string& parameter : profile) words.insert(words.end(), {"--profile", parameter});
  if (bootstrap) words.insert(words.end(), {"--bootstrap", std::to_string(*bootstrap)});
  if (hardware_config) words.insert(words.end(), {"--format", "hardware-config"});
  const auto run = begin(*own, study, "fit", run_in, words);

  LongCall call(std::move(progress), OnInterrupt::keep);
  core::Result<void> scored;
  auto result = std::make_shared<calibrate::FitResult>(call.run([&] {
    calibrate::FitHooks hooks;
    hooks.cancel = call.token();
    calibrate::FitProgress last{};
    hooks.progress = [&](const calibrate::FitProgress& now) {
      last = now;
      call.tell([now] { return py::object(progress_of(now)); });
    };
    hooks.store = store_of(run);
    calibrate::FitResult fitted = calibrate::fit(own->prepared, hooks);
    if (held_out) {
      const auto progress_of_folds = [&](std::size_t done, std::size_t total) {
        call.tell([last, done, total] {
          py::dict entry = progress_of(last);
          add_folds(entry, done, total);
          return py::object(std::move(entry));
        });
      };
      scored = calibrate::learn_held_out_error(
          fitted, own->prepared, {.repeats = 1, .progress = progress_of_folds, .cancel = call.token(), .store = hooks.store});
    }
    calibrate::note_intervals(fitted, own->prepared);
    return fitted;
  }));
  if (run) warn(run->close_store());
  check(scored);
  if (!result->usable && result->interrupted) {
    PyErr_SetString(PyExc_KeyboardInterrupt, "no point was found yet");
    throw py::error_already_set();
  }
  if (result->aborted) fail("the simulator failed: " + result->first_failure, "remove its cause, or change 'failures' in the study");
  if (!result->usable) {
    if (run) run->abandon();
    throw Problem({{.position = {.file = name_of(study)},
                    .problem = "the fit found no usable point: " + opt::format(result->termination),
                    .remedy = "change the start, the bounds or the solver; nothing was written"}});
  }
  std::optional<std::string> folder;
  if (run) {
    runs::Outcome outcome = runs::outcome_of(*result);
    outcome.wants_hardware_config = hardware_config;
    auto written = [&] {
      const py::gil_scoped_release without_python;
      return run->finish(outcome);
    }();
    warn(value_of(std::move(written)));
    folder = run->folder().string();
  }
  if (result->interrupted) {
    warn({{.position = {.file = folder.value_or(name_of(study))},
           .problem = "interrupted: " + std::string(result->what_is_left()),
           .remedy = folder ? "go on with the same call and resume=True" : "fit again",
           .severity = core::Severity::warning}});
  }
  return {.result = result, .tuned = {runs::as_kept(result->tuned, *own)}, .folder = folder};
}

CrossvalValue crossval(const StudyValue& study, std::optional<fs::path> out, const std::optional<std::string>& group, int repeats,
                       const std::optional<fs::path>& peers_file, bool resume, std::optional<fs::path> store,
                       std::optional<fs::path> replay, py::object progress) {
  const RunWords run_in = run_words(std::move(out), resume, std::move(store), std::move(replay));
  const auto own = own_study(study);
  calibrate::StudySpec& spec = own->prepared.spec;
  Words words;
  if (group) {
    const std::vector<std::string_view> known(eval::kSplitGroups.begin(), eval::kSplitGroups.end());
    if (std::ranges::find(known, *group) == known.end()) fail("unknown group '" + *group + "'", core::suggest(*group, known));
    spec.split = eval::SplitSpec{};
    spec.split->group = *group;
    words.insert(words.end(), {"--group", *group});
  }
  if (!spec.split)
    throw Problem({{.position = {.file = name_of(study)},
                    .problem = "the study does not say how to split",
                    .remedy = "add 'crossval' to it, or give group='model'"}});
  if (spec.free.empty())
    throw Problem(
        {{.position = {.file = name_of(study)}, .problem = "the study leaves no parameter free", .remedy = "list some under 'free'"}});
  if (repeats < 1) fail("so many repeats make no cross-validation", "give repeats of at least 1");
  if (repeats > 1) words.insert(words.end(), {"--repeats", std::to_string(repeats)});
  std::vector<domain::PeerPrediction> published;
  if (peers_file) {
    published = value_of(data::read_peers(*peers_file));
    words.insert(words.end(), {"--peers", peers_file->string()});
  }
  const auto run = begin(*own, study, "crossval", run_in, words);

  LongCall call(std::move(progress), OnInterrupt::raise);
  auto result = call.run([&] {
    return calibrate::crossval(own->prepared, *spec.split,
                               {.repeats = repeats,
                                .progress =
                                    [&call](std::size_t done, std::size_t total) {
                                      call.tell([done, total] {
                                        py::dict entry;
                                        add_folds(entry, done, total);
                                        return py::object(std::move(entry));
                                      });
                                    },
                                .cancel = call.token(),
                                .store = store_of(run)});
  });
  if (run) warn(run->close_store());
  if (!result) {
    if (run) run->abandon();
    throw Problem(std::move(result.error()));
  }
  if (result->aborted)
    fail("the simulator failed: " + result->failures.front(), "remove its cause, or change 'failures' in the study");
  if (!result->usable()) {
    if (run) run->abandon();
    core::Diagnostics problems;
    for (const std::string& failure : result->failures) {
      problems.push_back({.position = {.file = name_of(study)}, .problem = failure, .remedy = "nothing was written"});
    }
    throw Problem(std::move(problems));
  }
  CrossvalValue value{.result = std::make_shared<calibrate::CrossValidation>(*std::move(result)), .peers = {}, .folder = {}};
  value.peers = eval::compare_with_peers(value.result->pooled, published);
  if (run) {
    warn(value_of(run->finish(runs::outcome_of(*value.result, spec, value.peers))));
    value.folder = run->folder().string();
  }
  return value;
}

EvaluationValue evaluate(const StudyValue& study, const std::optional<fs::path>& peers_file, std::int64_t warm_up_requests,
                         bool with_assumptions) {
  if (warm_up_requests < 0) fail("warm_up_requests is below 0", "give at least 0");
  const auto own = own_study(study);
  const calibrate::PreparedStudy& prepared = own->prepared;
  const core::ThreadCount threads{prepared.spec.threads};
  std::vector<domain::PeerPrediction> published;
  if (peers_file) published = value_of(data::read_peers(*peers_file));
  LongCall call(py::none(), OnInterrupt::raise);
  EvaluationValue value = call.run([&] {
    auto evaluation = std::make_shared<eval::Evaluation>(
        eval::evaluate(prepared.dataset, prepared.start,
                       {.threads = threads, .stepping = sim::Stepping::closed_form, .warm_up_requests = warm_up_requests}));
    EvaluationValue found{.evaluation = evaluation};
    if (!evaluation->failures.empty()) return found;
    if (with_assumptions) {
      for (const eval::Assumption& assumption : eval::moving_assumptions(prepared.dataset, prepared.start, threads)) {
        evaluation->warnings.push_back(eval::format(assumption));
      }
    }
    found.noise = eval::noise_of(prepared.dataset, prepared.start, threads);
    return found;
  });
  core::Diagnostics problems;
  for (const std::string& failure : value.evaluation->failures) {
    problems.push_back({.position = {.file = study.path.value_or("")},
                        .problem = failure,
                        .remedy = "mend the simulator, or leave the experiment out with select"});
  }
  if (!problems.empty()) throw Problem(std::move(problems));
  value.peers = eval::compare_with_peers(*value.evaluation, published);
  return value;
}

OnboardingValue onboard(const StudyValue& study, std::optional<fs::path> out, bool resume, std::optional<fs::path> store,
                        std::optional<fs::path> replay, py::object progress) {
  const RunWords run_in = run_words(std::move(out), resume, std::move(store), std::move(replay));
  const auto own = own_study(study);
  if (!own->prepared.spec.onboard)
    throw Problem({{.position = {.file = name_of(study)},
                    .problem = "the study does not say which GPU is new",
                    .remedy = "add 'onboard: {gpu: ...}'"}});
  if (own->prepared.spec.onboard->trial)
    throw Problem({{.position = {.file = name_of(study)},
                    .problem = "the study asks for a trial of recommendations",
                    .remedy = "run it with: rooftune onboard"}});
  const auto summaries = value_of(runs::open_kernel_summaries(*own));
  const auto run = begin(*own, study, "onboard", run_in, {});
  LongCall call(std::move(progress), OnInterrupt::raise);
  auto result = call.run([&] {
    const plan::OnboardHooks hooks{.progress =
                                       [&call](const std::string& step) {
                                         if (call.token().stop_requested()) throw Cancelled{};
                                         call.tell([step] {
                                           py::dict entry;
                                           entry["step"] = step;
                                           return py::object(std::move(entry));
                                         });
                                       },
                                   .store = store_of(run)};
    return plan::onboard(own->prepared, own->inputs, summaries, hooks);
  });
  if (run) warn(run->close_store());
  if (!result) {
    if (run) run->abandon();
    throw Problem(std::move(result.error()));
  }
  OnboardingValue value{.result = std::make_shared<plan::Onboarding>(*std::move(result)), .tuned = {}, .folder = {}};
  value.tuned = {runs::as_kept(value.result->last().config, *own)};
  if (run) {
    warn(value_of(run->finish(runs::outcome_of(*value.result))));
    value.folder = run->folder().string();
  }
  return value;
}

/// The numbers of all rows where they lie: a step of one row from each to the next.
template <class Number>
py::array column(const py::object& owner, const eval::Evaluation& evaluation, Number eval::Row::*member) {
  const std::vector<eval::Row>& rows = evaluation.rows;
  if (rows.empty()) return py::array_t<Number>(0);
  py::array_t<Number> view({static_cast<py::ssize_t>(rows.size())}, {static_cast<py::ssize_t>(sizeof(eval::Row))},
                           &(rows.front().*member), owner);
  view.attr("setflags")(py::arg("write") = false);
  return view;
}

py::list experiments_of(const eval::Evaluation& evaluation) {
  py::list names;
  for (const eval::Row& row : evaluation.rows) names.append(row.experiment);
  return names;
}

py::list metrics_of(const eval::Evaluation& evaluation) {
  py::list names;
  for (const eval::Row& row : evaluation.rows) names.append(std::string(domain::metric_name(row.metric)));
  return names;
}

/// A part of a result, which keeps all of it alive.
EvaluationValue part(const auto& whole, const eval::Evaluation& evaluation) {
  return {.evaluation = std::shared_ptr<const eval::Evaluation>(whole, &evaluation)};
}

}  // namespace

void add_study(py::module_& module) {
  py::class_<EvaluationValue>(module, "Evaluation")
      .def("to_json", [](const EvaluationValue& self) { return runs::evaluation_json(*self.evaluation, self.peers, self.noise); })
      .def("to_csv", [](const EvaluationValue& self) { return runs::evaluation_csv(*self.evaluation); })
      .def_property_readonly("predicted_ms",
                             [](const py::object& self) {
                               return column(self, *self.cast<const EvaluationValue&>().evaluation, &eval::Row::predicted_ms);
                             })
      .def_property_readonly("measured_ms",
                             [](const py::object& self) {
                               return column(self, *self.cast<const EvaluationValue&>().evaluation, &eval::Row::measured_ms);
                             })
      .def_property_readonly(
          "stages",
          [](const py::object& self) { return column(self, *self.cast<const EvaluationValue&>().evaluation, &eval::Row::stage); })
      .def_property_readonly("experiments", [](const EvaluationValue& self) { return experiments_of(*self.evaluation); })
      .def_property_readonly("metrics", [](const EvaluationValue& self) { return metrics_of(*self.evaluation); })
      .def_property_readonly("loss_percent", [](const EvaluationValue& self) { return self.evaluation->loss_percent; })
      .def_property_readonly("warnings", [](const EvaluationValue& self) { return self.evaluation->warnings; });

  py::class_<FitValue>(module, "Fit")
      .def("to_json", [](const FitValue& self) { return runs::fit_json(*self.result); })
      .def_readonly("tuned", &FitValue::tuned)
      .def_readonly("folder", &FitValue::folder)
      .def_property_readonly("before", [](const FitValue& self) { return part(self.result, self.result->before); })
      .def_property_readonly("after", [](const FitValue& self) { return part(self.result, self.result->after); })
      .def_property_readonly("held_out",
                             [](const FitValue& self) -> std::optional<EvaluationValue> {
                               if (!self.result->held_out_after) return std::nullopt;
                               return part(self.result, *self.result->held_out_after);
                             })
      .def_property_readonly("interrupted", [](const FitValue& self) { return self.result->interrupted; })
      .def_property_readonly("objective_before", [](const FitValue& self) { return self.result->objective_before; })
      .def_property_readonly("objective_after", [](const FitValue& self) { return self.result->objective_after; })
      .def_property_readonly("seconds", [](const FitValue& self) { return self.result->seconds; });

  py::class_<CrossvalValue>(module, "CrossValidation")
      .def("to_json", [](const CrossvalValue& self) { return runs::crossval_json(*self.result, self.peers); })
      .def_readonly("folder", &CrossvalValue::folder)
      .def_property_readonly("pooled", [](const CrossvalValue& self) { return part(self.result, self.result->pooled); });

  py::class_<OnboardingValue>(module, "Onboarding")
      .def("to_json", [](const OnboardingValue& self) { return runs::onboard_json(*self.result); })
      .def("to_csv",
           [](const OnboardingValue& self) {
             return runs::onboard_csv({self.result.get(), 1});
           })
      .def_readonly("tuned", &OnboardingValue::tuned)
      .def_readonly("folder", &OnboardingValue::folder);

  py::class_<StudyValue, std::shared_ptr<StudyValue>>(module, "Study")
      .def_property_readonly("path", [](const StudyValue& self) { return self.path; })
      .def_property_readonly("name", [](const StudyValue& self) { return self.opened.prepared.spec.name; })
      .def_property_readonly("words", [](const StudyValue& self) { return self.words; })
      .def_property_readonly("start", [](const StudyValue& self) { return ConfigValue{self.opened.prepared.start}; })
      .def("to_json", [](const StudyValue& self) { return runs::resolved_json(self.opened.prepared); })
      .def("to_csv", [](const StudyValue& self) { return runs::experiments_csv(self.opened.prepared.dataset); })
      .def("fit", &fit, py::kw_only(), py::arg("out"), py::arg("resume"), py::arg("store"), py::arg("replay"), py::arg("held_out"),
           py::arg("profile"), py::arg("bootstrap"), py::arg("hardware_config"), py::arg("progress"))
      .def("crossval", &crossval, py::kw_only(), py::arg("out"), py::arg("group"), py::arg("repeats"), py::arg("peers"),
           py::arg("resume"), py::arg("store"), py::arg("replay"), py::arg("progress"))
      .def("evaluate", &evaluate, py::kw_only(), py::arg("peers"), py::arg("warm_up_requests"), py::arg("assumptions"))
      .def("onboard", &onboard, py::kw_only(), py::arg("out"), py::arg("resume"), py::arg("store"), py::arg("replay"),
           py::arg("progress"));
  module.def("open_study", &open_study, py::arg("path"), py::arg("words"), py::arg("use_shipped_config"));
}

}  // namespace rooftune::python
