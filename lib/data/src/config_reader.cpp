#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <span>
#include <utility>

#include "gpu_plausibility.hpp"
#include "rooftune/data/config_file.hpp"
#include "rooftune/data/config_pieces.hpp"
#include "rooftune/text/document.hpp"
#include "rooftune/text/object_reader.hpp"

namespace rooftune::data {
namespace {

constexpr std::string_view kSchema = "rooftune/config/1";

/// Keys of our own form that a hardware-config file never has at its top.
constexpr std::array<std::string_view, 6> kOwnKeys{"step_time_model", "parameters", "hardware", "engine", "scoped", "provenance"};

/// Keys that begin so are for people.
constexpr std::string_view kComment = "_comment";
/// In files of the family: the link between nodes, which no formula here uses.
constexpr std::string_view kInterNodeKey = "InterNodeBwGBps";
/// The link inside a node, one direction, which we call link_GBs.
constexpr std::string_view kIntraNodeKey = "IntraNodeBwGBps";

/// Found in old files of the family, where they scaled something that no formula uses any more.
constexpr std::array<std::string_view, 3> kKeysWithoutEffect{"bwEfficiencyFactor", "mixedBatchPenalty", "overlapPenalty"};

constexpr std::array<text::Choice<domain::Interconnect>, 2> kInterconnects{{
    {"nvlink", domain::Interconnect::nvlink},
    {"pcie", domain::Interconnect::pcie},
}};

constexpr std::array<text::Choice<params::Transform>, 3> kTransforms{{
    {"linear", params::Transform::linear},
    {"log", params::Transform::log},
    {"logit", params::Transform::logit},
}};

/// Every spelling that names one of the GPUs.
std::vector<std::string_view> names_of(const std::vector<domain::GpuSpec>& gpus) {
  std::vector<std::string_view> names;
  for (const domain::GpuSpec& gpu : gpus) {
    names.push_back(gpu.name);
    names.insert(names.end(), gpu.aliases.begin(), gpu.aliases.end());
  }
  return names;
}

/// Reads a fact of the data sheet under its name or its former one; returns whether the file gives it.
template <class Unit>
bool read_fact(text::ObjectReader& reader, std::string_view key, std::string_view former_key, core::Quantity<Unit>& target) {
  const bool has_former = !former_key.empty() && reader.find(former_key) != nullptr;
  const bool has_key = reader.find(key) != nullptr;
  if (has_key && has_former) {
    reader.problems().error(reader.place_of(former_key),
                            fmt::format("'{}' is the former name of '{}', which is given too", former_key, key),
                            fmt::format("keep '{}'", key));
  }
  if (!has_key && !has_former) return false;
  reader.optional(has_key ? key : former_key, target, text::above(0));
  return true;
}

/// One GPU of either form. Facts that the file leaves out come from the shipped GPU of that name.
class HardwareReader {
 public:
  HardwareReader(const std::vector<domain::GpuSpec>& shipped, ConfigForm form, text::Problems& problems)
      : shipped_(shipped), form_(form), problems_(problems) {}

  void read(const text::Member& member) {
    const bool is_ours = form_ == ConfigForm::config;
    text::ObjectReader reader(member.value, problems_, fmt::format("the GPU '{}'", member.key),
                              is_ours ? text::OtherKeys::refuse : text::OtherKeys::tolerate);
    if (member.value.kind != text::Node::Kind::object) return;
    const domain::GpuSpec* known = domain::find_gpu(shipped_, member.key);
    params::HardwareEntry entry;
    entry.gpu = known != nullptr ? *known : domain::GpuSpec{};
    if (known == nullptr) entry.gpu.name = member.key;
    if (entry.gpu.name != member.key) entry.name_in_file = member.key;
    read_facts(reader, member, known != nullptr, entry.gpu);
    if (!problems_.has_errors()) warn_about_implausible_facts(entry.gpu, known, member.place, problems_);
    read_parameters(reader, entry);
    for (const text::Member& own : member.value.members) {
      if (own.key.starts_with(kComment)) reader.ignore({own.key});
    }
    if (!is_ours) notice_other_keys(member);
    add(member, std::move(entry));
  }

  [[nodiscard]] std::vector<params::HardwareEntry> take() { return std::exchange(entries_, {}); }

 private:
  void read_facts(text::ObjectReader& reader, const text::Member& member, bool is_known, domain::GpuSpec& gpu) const {
    std::vector<std::string_view> missing;
    const auto need = [&](bool given, std::string_view key) {
      if (!given && !is_known) missing.push_back(key);
    };
    need(read_fact(reader, "TFlopsPeak", "TFlopsEff", gpu.peak_bf16), "TFlopsPeak");
    need(read_fact(reader, "BwPeakTBs", "BwEffTBs", gpu.hbm_bandwidth), "BwPeakTBs");
    const core::Gibibytes known_memory = gpu.memory;
    need(read_fact(reader, "MemoryGiB", "", gpu.memory), "MemoryGiB");
    if (gpu.memory != known_memory) gpu.reported_memory.reset();  // of another board
    const bool has_link = read_fact(reader, "link_GBs", "", gpu.link_bandwidth);
    if (form_ == ConfigForm::hardware_config && !has_link) {
      need(reader.optional(kIntraNodeKey, gpu.link_bandwidth, text::above(0)), "link_GBs");
    } else {
      need(has_link, "link_GBs");
    }
    read_units(reader, "TFlopsFP8", gpu.peak_fp8);
    read_units(reader, "TFlopsFP4", gpu.peak_fp4);
    read_units(reader, "TFlopsINT8", gpu.peak_int8);
    reader.optional_choice("interconnect", gpu.interconnect, std::span<const text::Choice<domain::Interconnect>>(kInterconnects));
    reader.optional("aliases", gpu.aliases);
    reader.optional("source", gpu.source);
    if (!missing.empty()) report_unknown(member, missing);
  }

  /// The peak of units that not every GPU has; 0: none.
  static void read_units(text::ObjectReader& reader, std::string_view key, std::optional<core::TeraflopsPerSecond>& peak) {
    core::TeraflopsPerSecond given;
    if (reader.optional(key, given, text::at_least(0))) peak = given.value > 0.0 ? std::optional(given) : std::nullopt;
  }

  /// The family adds keys of its own: those that mean nothing here are noticed, one that looks like a slip is refused.
  void notice_other_keys(const text::Member& member) const {
    std::vector<std::string_view> known{"TFlopsPeak", "TFlopsEff",  "BwPeakTBs",    "BwEffTBs", "MemoryGiB", "link_GBs",   "TFlopsFP8",
                                        "TFlopsFP4",  "TFlopsINT8", "interconnect", "aliases",  "source",    kIntraNodeKey};
    known.insert(known.end(), kKeysWithoutEffect.begin(), kKeysWithoutEffect.end());
    for (const params::ParameterSpec& spec : params::parameter_registry()) {
      if (spec.group() == "roofline_v1") known.push_back(spec.name());
    }
    for (const text::Member& own : member.value.members) {
      if (own.key.starts_with(kComment) || std::ranges::find(known, own.key) != known.end()) continue;
      if (own.key == kInterNodeKey) {
        problems_.warning(own.place, fmt::format("'{}' has no effect: experiments run in one node", own.key), "nothing to do");
      } else if (core::closest_match(own.key, known).empty()) {
        problems_.warning(own.place, fmt::format("'{}' means nothing here and has no effect", own.key), "nothing to do");
      } else {
        problems_.error(own.place, fmt::format("unknown key '{}' in the GPU '{}'", own.key, member.key),
                        core::suggest(own.key, known));
      }
    }
  }

  void report_unknown(const text::Member& member, const std::vector<std::string_view>& missing) const {
    const std::string_view match = core::closest_match(member.key, names_of(shipped_));
    problems_.error(member.place,
                    fmt::format("unknown GPU '{}', and its {} {} not given", member.key, fmt::join(missing, ", "),
                                missing.size() == 1 ? "is" : "are"),
                    fmt::format("{}give all facts of a new GPU", match.empty() ? "" : fmt::format("did you mean '{}'? or ", match)));
  }

  void read_parameters(text::ObjectReader& reader, params::HardwareEntry& entry) const {
    for (const params::ParameterSpec& spec : params::parameter_registry()) {
      if (spec.group() != "roofline_v1") continue;
      double value = 0.0;
      if (!reader.optional(spec.name(), value)) continue;
      const params::ParameterId id = params::parameter(spec.id);
      check_value(id, fmt::format("'{}'", spec.name()), value, reader.find(spec.name())->place, problems_);
      entry.parameters[id] = {.value = value, .standard_error = {}, .source = params::ValueSource::given};
    }
    for (const std::string_view key : kKeysWithoutEffect) {
      if (reader.find(key) == nullptr) continue;
      problems_.warning(reader.place_of(key), fmt::format("'{}' has no effect", key), "remove it");
    }
    if (form_ == ConfigForm::hardware_config) return;
    const text::Node* parameters = reader.optional_object("parameters");
    if (parameters == nullptr) return;
    for (const auto& [id, value] : read_assignments(*parameters, problems_)) {
      if (entry.parameters.contains(id)) {
        problems_.error(reader.place_of(id.spec().name()), fmt::format("'{}' is given again as '{}'", id.spec().name(), id.spec().id),
                        "keep one of the two");
      }
      entry.parameters[id] = value;
    }
  }

  /// Files of the family repeat a GPU under an alias, because their reader matches names literally. That is fine as long as
  /// both say the same.
  void add(const text::Member& member, params::HardwareEntry entry) {
    const auto same = std::ranges::find(entries_, entry.gpu.name, [](const params::HardwareEntry& other) { return other.gpu.name; });
    if (same == entries_.end()) {
      entries_.push_back(std::move(entry));
      return;
    }
    if (same->gpu == entry.gpu && same->parameters == entry.parameters) return;
    const std::string_view first = same->name_in_file.empty() ? same->gpu.name : same->name_in_file;
    problems_.error(member.place, fmt::format("'{}' and '{}' are the same GPU with different values", member.key, first),
                    "keep one of them, or make them equal");
  }

  const std::vector<domain::GpuSpec>& shipped_;
  ConfigForm form_;
  text::Problems& problems_;
  std::vector<params::HardwareEntry> entries_;
};

std::map<std::string, std::string> read_provenance(const text::Node& object, text::Problems& problems) {
  std::map<std::string, std::string> provenance;
  for (const text::Member& member : object.members) {
    if (member.value.kind == text::Node::Kind::scalar) {
      provenance[member.key] = member.value.text;
    } else {
      problems.error(member.value.place, fmt::format("'{}' must be a text, not {}", member.key, text::describe(member.value)),
                     "give a text");
    }
  }
  return provenance;
}

params::CalibratedDomain read_domain(const text::Node& object, text::Problems& problems) {
  params::CalibratedDomain result;
  text::ObjectReader reader(object, problems, "'domain'");
  if (const text::Node* ranges = reader.optional_object("ranges")) {
    for (const text::Member& member : ranges->members) {
      params::CalibratedDomain::Range range;
      text::ObjectReader range_reader(member.value, problems, fmt::format("the range '{}'", member.key));
      range_reader.required("lowest", range.lowest);
      range_reader.required("highest", range.highest);
      if (range.lowest > range.highest) {
        problems.error(member.place, fmt::format("the range '{}' goes from {} down to {}", member.key, range.lowest, range.highest),
                       "swap 'lowest' and 'highest'");
      }
      result.ranges[member.key] = range;
    }
  }
  if (const text::Node* sets = reader.optional_object("sets")) {
    for (const text::Member& member : sets->members) {
      text::convert(member.value, fmt::format("'{}'", member.key), result.sets[member.key], problems);
    }
  }
  return result;
}

void report_unknown_metric(const text::Member& member, text::Problems& problems) {
  std::vector<std::string_view> names;
  for (const domain::Metric known : domain::kMetrics) names.push_back(domain::metric_name(known));
  problems.error(member.place, fmt::format("unknown metric '{}'", member.key), core::suggest(member.key, names));
}

params::FitUncertainty::Parameter read_uncertain_parameter(const text::Node& item, text::Problems& problems) {
  params::FitUncertainty::Parameter parameter;
  text::ObjectReader reader(item, problems, "an uncertain parameter");
  std::string id;
  if (reader.required("id", id)) {
    if (const auto found = read_parameter_id(id, reader.find("id")->place, problems)) parameter.id = *found;
  }
  if (const text::Node* where = reader.optional_object("where")) parameter.where = read_where(*where, problems);
  reader.required_choice("transform", parameter.transform, std::span<const text::Choice<params::Transform>>(kTransforms));
  reader.required("standard_deviation", parameter.standard_deviation, text::at_least(0));
  if (parameter.transform == params::Transform::logit) {
    reader.required("lower", parameter.lower);
    reader.required("upper", parameter.upper);
  }
  return parameter;
}

params::FitUncertainty read_uncertainty(const text::Node& object, text::Problems& problems) {
  params::FitUncertainty result;
  text::ObjectReader reader(object, problems, "'uncertainty'");
  for (const text::Node& item : reader.required_list("parameters"))
    result.parameters.push_back(read_uncertain_parameter(item, problems));
  const std::span<const text::Node> rows = reader.required_list("correlation");
  if (rows.size() != result.parameters.size()) {
    problems.error(reader.place_of("correlation"),
                   fmt::format("'correlation' has {} rows for {} parameters", rows.size(), result.parameters.size()),
                   "give a row for each parameter");
  }
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::vector<double>& row = result.correlation.emplace_back();
    if (!text::convert(rows[i], fmt::format("row {} of 'correlation'", i + 1), row, problems, text::within(-1, 1)) || row.size() == i)
      continue;
    problems.error(rows[i].place, fmt::format("row {} of 'correlation' has {} numbers, not {}", i + 1, row.size(), i),
                   "give the correlations with the parameters before it");
  }
  if (const text::Node* held_out = reader.optional_object("held_out")) {
    text::ObjectReader held_out_reader(*held_out, problems, "'held_out'");
    held_out_reader.required("basis", result.held_out_basis);
    if (const text::Node* deviations = held_out_reader.required_object("deviation")) {
      for (const text::Member& member : deviations->members) {
        const auto metric = domain::find_metric(member.key);
        double deviation = 0.0;
        const bool is_number = text::convert(member.value, fmt::format("'{}'", member.key), deviation, problems, text::at_least(0));
        if (metric && is_number) result.held_out_deviation[*metric] = deviation;
        if (!metric) report_unknown_metric(member, problems);
      }
    }
  }
  return result;
}

void check_gpu_of_scope(const text::Node& where, const params::Config& config, const std::vector<domain::GpuSpec>& shipped,
                        text::Problems& problems) {
  const text::Node* gpu = where.find("gpu");
  if (gpu == nullptr || gpu->kind != text::Node::Kind::scalar || params::find_gpu(config, shipped, gpu->text) != nullptr) return;
  std::vector<std::string_view> names = names_of(shipped);
  for (const params::HardwareEntry& entry : config.hardware) names.push_back(entry.gpu.name);
  problems.error(gpu->place, fmt::format("unknown GPU '{}'", gpu->text), core::suggest(gpu->text, names));
}

params::Config read_own_form(const text::Node& root, const std::vector<domain::GpuSpec>& shipped, text::Problems& problems) {
  params::Config config;
  text::ObjectReader reader(root, problems, "the config");
  std::string schema;
  if (reader.find("schema") == nullptr) {
    problems.error(root.place, "the config lacks 'schema'", fmt::format(R"(add "schema": "{}")", kSchema));
  } else if (reader.optional("schema", schema) && schema != kSchema) {
    problems.error(reader.find("schema")->place, fmt::format("the schema is '{}'", schema),
                   fmt::format("this version reads '{}'", kSchema));
  }
  if (const text::Node* node = reader.optional_object("provenance")) config.provenance = read_provenance(*node, problems);
  if (const text::Node* node = reader.required_node("step_time_model")) read_step_time_model(*node, config.step_time_model, problems);
  if (const text::Node* node = reader.optional_object("engine")) read_switches(*node, "engine.", config.switches, problems);
  if (const text::Node* node = reader.optional_object("switches")) read_switches(*node, "", config.switches, problems);
  if (const text::Node* node = reader.optional_object("parameters")) config.parameters = read_assignments(*node, problems);
  HardwareReader hardware(shipped, ConfigForm::config, problems);
  if (const text::Node* node = reader.optional_object("hardware")) {
    for (const text::Member& member : node->members) hardware.read(member);
  }
  config.hardware = hardware.take();
  for (const text::Node& item : reader.optional_list("scoped")) {
    params::ScopedAssignments scoped;
    text::ObjectReader scoped_reader(item, problems, "an item of 'scoped'");
    if (const text::Node* where = scoped_reader.required_object("where")) {
      scoped.where = read_where(*where, problems);
      check_gpu_of_scope(*where, config, shipped, problems);
    }
    if (const text::Node* node = scoped_reader.required_object("parameters")) scoped.parameters = read_assignments(*node, problems);
    config.scoped.push_back(std::move(scoped));
  }
  if (const text::Node* node = reader.optional_object("domain")) config.domain = read_domain(*node, problems);
  if (const text::Node* node = reader.optional_object("uncertainty")) config.uncertainty = read_uncertainty(*node, problems);
  return config;
}

params::Config read_family_form(const text::Node& root, const std::vector<domain::GpuSpec>& shipped, text::Problems& problems) {
  HardwareReader hardware(shipped, ConfigForm::hardware_config, problems);
  for (const text::Member& member : root.members) {
    if (!member.key.starts_with(kComment)) hardware.read(member);
  }
  params::Config config;
  config.step_time_model = "roofline_v1";
  config.hardware = hardware.take();
  if (config.hardware.empty() && !problems.has_errors())
    problems.error(root.place, "the config names no GPU", R"(add one, e.g. "H100": {...})");
  return config;
}

core::Result<ConfigFile> read(const text::Document& document, const std::vector<domain::GpuSpec>& shipped) {
  text::Problems problems(document.file);
  ConfigFile result;
  const text::Node& root = document.root;
  if (root.kind != text::Node::Kind::object) {
    problems.error(root.place, fmt::format("a config must be an object, not {}", text::describe(root)), "see docs/file_formats.md");
  } else if (root.find("schema") != nullptr || std::ranges::any_of(kOwnKeys, [&](auto key) { return root.find(key) != nullptr; })) {
    result.form = ConfigForm::config;
    result.config = read_own_form(root, shipped, problems);
  } else {
    result.form = ConfigForm::hardware_config;
    result.config = read_family_form(root, shipped, problems);
  }
  if (problems.has_errors()) return tl::unexpected(problems.take_errors());
  result.warnings = problems.take_warnings();
  return result;
}

}  // namespace

core::Result<ConfigFile> read_config(const std::filesystem::path& path, const std::vector<domain::GpuSpec>& shipped) {
  return text::read_document(path).and_then([&](const text::Document& document) { return read(document, shipped); });
}

core::Result<ConfigFile> parse_config(std::string_view text, const std::string& file, const std::vector<domain::GpuSpec>& shipped) {
  return text::parse_document(text, file, text::Syntax::json).and_then([&](const text::Document& document) {
    return read(document, shipped);
  });
}

}  // namespace rooftune::data
