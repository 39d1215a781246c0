#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <utility>

#include "config_form.hpp"
#include "gpu_form.hpp"
#include "gpu_plausibility.hpp"
#include "rooftune/data/config_forms.hpp"
#include "rooftune/data/config_pieces.hpp"

namespace rooftune::data {
namespace {

using params::HardwareEntry;

/// Keys that begin so are for people.
constexpr std::string_view kComment = "_comment";
/// In files of the family: the link between nodes, which no formula here uses.
constexpr std::string_view kInterNodeKey = "InterNodeBwGBps";
/// The link inside a node, one direction, which we call link_GBs.
constexpr std::string_view kIntraNodeKey = "IntraNodeBwGBps";

/// Found in old files of the family, where they scaled something that no formula uses any more.
constexpr std::array<std::string_view, 3> kKeysWithoutEffect{"bwEfficiencyFactor", "mixedBatchPenalty", "overlapPenalty"};

/// A fact of the data sheet that a new GPU needs, and another key for it: its former name, or the family's.
struct Fact {
  std::string_view key;
  std::string_view other_key{};
  bool is_former = true;  ///< else the other key counts only where this one is missing
};
constexpr std::array<Fact, 4> kFacts{{{.key = "TFlopsPeak", .other_key = "TFlopsEff"},
                                      {.key = "BwPeakTBs", .other_key = "BwEffTBs"},
                                      {.key = "MemoryGiB"},
                                      {.key = "link_GBs", .other_key = kIntraNodeKey, .is_former = false}}};

/// Reads a fact under one of its names.
template <class Unit>
void read_fact(text::ObjectReader& reader, const Fact& fact, core::Quantity<Unit>& target) {
  const bool has_other = !fact.other_key.empty() && reader.find(fact.other_key) != nullptr;
  const bool has_key = reader.find(fact.key) != nullptr;
  if (has_key && has_other && fact.is_former) {
    reader.problems().error(reader.place_of(fact.other_key),
                            fmt::format("'{}' is the former name of '{}', which is given too", fact.other_key, fact.key),
                            fmt::format("keep '{}'", fact.key));
  }
  if (has_key || has_other) reader.optional(has_key ? fact.key : fact.other_key, target, text::above(0));
}

template <class Unit>
void add_fact(text::Form<HardwareEntry>& form, const Fact& fact, core::Quantity<Unit> domain::GpuSpec::*member,
              std::string_view says) {
  const auto read = [member, fact](text::ObjectReader& reader, const text::KeySpec&, HardwareEntry& entry) {
    const core::Quantity<Unit> before = entry.gpu.*member;
    read_fact(reader, fact, entry.gpu.*member);
    // Of another board.
    if (fact.key == "MemoryGiB" && entry.gpu.*member != before) entry.gpu.reported_memory.reset();
  };
  form.own(fact.key, says, text::number_schema(false, text::above(0)), read,
           [member](const HardwareEntry& entry) { return Json((entry.gpu.*member).value); });
}

/// The peak of units that not every GPU has; 0: none.
using Peak = std::optional<core::TeraflopsPerSecond>;
void add_units(text::Form<HardwareEntry>& form, std::string_view name, Peak domain::GpuSpec::*member, std::string_view says) {
  const auto read = [member](text::ObjectReader& reader, const text::KeySpec& key, HardwareEntry& entry) {
    core::TeraflopsPerSecond given;
    if (reader.optional(key.name, given, text::at_least(0)))
      entry.gpu.*member = given.value > 0.0 ? std::optional(given) : std::nullopt;
  };
  // That a GPU has no FP8 units is always said.
  const bool is_always_said = name == "TFlopsFP8";
  form.own(name, says, text::number_schema(false, text::at_least(0)), read, [member, is_always_said](const HardwareEntry& entry) {
    const Peak& peak = entry.gpu.*member;
    return peak ? Json(peak->value) : (is_always_said ? Json(0.0) : Json(nullptr));
  });
}

/// Values of roofline_v1 as the family writes them.
void read_family_values(text::ObjectReader& reader, HardwareEntry& entry) {
  text::Problems& problems = reader.problems();
  for (const params::ParameterSpec& spec : params::parameter_registry()) {
    if (spec.group() != "roofline_v1") continue;
    double value = 0.0;
    if (!reader.optional(spec.name(), value)) continue;
    const params::ParameterId id = params::parameter(spec.id);
    check_value(id, fmt::format("'{}'", spec.name()), value, reader.find(spec.name())->place, problems);
    if (entry.parameters.contains(id)) {
      problems.error(reader.place_of(spec.name()), fmt::format("'{}' is given again as '{}'", spec.name(), spec.id),
                     "keep one of the two");
    }
    entry.parameters[id] = {.value = value, .standard_error = {}, .source = params::ValueSource::given};
  }
  for (const std::string_view key : kKeysWithoutEffect) {
    if (reader.find(key) == nullptr) continue;
    problems.warning(reader.place_of(key), fmt::format("'{}' has no effect", key), "remove it");
  }
}

text::Form<HardwareEntry> hardware_form(ConfigForm form_of_file) {
  using domain::GpuSpec;
  text::Form<HardwareEntry> form("the GPU");
  const auto own = [&form](std::string_view name, std::string_view says, Json schema, auto GpuSpec::*member) {
    form.own(
        name, says, std::move(schema),
        [member](text::ObjectReader& reader, const text::KeySpec& key, HardwareEntry& entry) {
          reader.optional(key.name, entry.gpu.*member);
        },
        [member](const HardwareEntry& entry) { return Json(entry.gpu.*member); });
  };
  own("aliases", "other names of the GPU", text::list_schema(text::text_schema()), &GpuSpec::aliases);
  add_fact(form, kFacts[0], &GpuSpec::peak_bf16, "dense bf16 peak in TFLOP/s (formerly TFlopsEff)");
  add_units(form, "TFlopsFP8", &GpuSpec::peak_fp8, "dense FP8 peak in TFLOP/s; 0: no such units");
  add_units(form, "TFlopsFP4", &GpuSpec::peak_fp4, "dense FP4 peak in TFLOP/s; 0: no such units");
  add_units(form, "TFlopsINT8", &GpuSpec::peak_int8, "dense INT8 peak in 1e12 operations per second; 0: no such units");
  add_fact(form, kFacts[1], &GpuSpec::hbm_bandwidth, "memory bandwidth in TB/s (formerly BwEffTBs)");
  add_fact(form, kFacts[2], &GpuSpec::memory, "memory in GiB");
  Fact link = kFacts[3];
  if (form_of_file == ConfigForm::config) link.other_key = {};
  add_fact(form, link, &GpuSpec::link_bandwidth, "bandwidth of the link inside a node in GB/s, one direction");
  form.own(
      "interconnect", "what the link is", text::words_schema(words_of(kInterconnects)),
      [](text::ObjectReader& reader, const text::KeySpec& key, HardwareEntry& entry) {
        reader.optional_choice(key.name, entry.gpu.interconnect, std::span<const text::Choice<domain::Interconnect>>(kInterconnects));
      },
      [](const HardwareEntry& entry) { return Json(core::word_of(kInterconnects, entry.gpu.interconnect)); });
  own("source", "where the facts come from", text::text_schema(), &GpuSpec::source);
  if (form_of_file == ConfigForm::config) {
    form.own(
        "parameters", "values of this GPU", defined("assignments"),
        [](text::ObjectReader& reader, const text::KeySpec& key, HardwareEntry& entry) {
          if (const text::Node* node = reader.optional_object(key.name)) entry.parameters = read_assignments(*node, reader.problems());
        },
        [](const HardwareEntry& entry) { return assignments_json(entry.parameters); });
  }
  form.check([](text::ObjectReader& reader, HardwareEntry& entry) { read_family_values(reader, entry); });
  return form;
}

/// Every spelling that names one of the GPUs.
std::vector<std::string_view> names_of(const std::vector<domain::GpuSpec>& gpus) {
  std::vector<std::string_view> names;
  for (const domain::GpuSpec& gpu : gpus) {
    names.push_back(gpu.name);
    names.insert(names.end(), gpu.aliases.begin(), gpu.aliases.end());
  }
  return names;
}

/// One GPU of either form. Facts that the file leaves out come from the shipped GPU of that name.
class HardwareReader {
 public:
  HardwareReader(const std::vector<domain::GpuSpec>& shipped, ConfigForm form, text::Problems& problems)
      : shipped_(shipped), form_(form), form_of_entry_(hardware_form(form)), problems_(problems) {}

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
    form_of_entry_.read(reader, entry);
    report_missing(reader, member, known != nullptr);
    if (!problems_.has_errors()) warn_about_implausible_facts(entry.gpu, known, member.place, problems_);
    for (const text::Member& own : member.value.members) {
      if (own.key.starts_with(kComment)) reader.ignore({own.key});
    }
    if (!is_ours) notice_other_keys(member);
    add(member, std::move(entry));
  }

  [[nodiscard]] std::vector<params::HardwareEntry> take() { return std::exchange(entries_, {}); }

 private:
  /// A GPU that does not ship needs all its facts.
  void report_missing(text::ObjectReader& reader, const text::Member& member, bool is_known) const {
    if (is_known) return;
    std::vector<std::string_view> missing;
    for (const Fact& fact : kFacts) {
      const bool is_given = reader.find(fact.key) != nullptr || (!fact.other_key.empty() && reader.find(fact.other_key) != nullptr);
      if (!is_given) missing.push_back(fact.key);
    }
    if (!missing.empty()) report_unknown(member, missing);
  }

  /// The family adds keys of its own: those that mean nothing here are noticed, one that looks like a slip is refused.
  void notice_other_keys(const text::Member& member) const {
    std::vector<std::string> names = form_of_entry_.names();
    for (const Fact& fact : kFacts) {
      if (!fact.other_key.empty()) names.emplace_back(fact.other_key);
    }
    std::vector<std::string_view> known(names.begin(), names.end());
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
  text::Form<params::HardwareEntry> form_of_entry_;
  text::Problems& problems_;
  std::vector<params::HardwareEntry> entries_;
};

}  // namespace

Json hardware_json(const HardwareEntry& entry) { return hardware_form(ConfigForm::config).write(entry); }

Json hardware_schema() {
  Json schema = hardware_form(ConfigForm::config).schema();
  // Facts that are left out are those of the GPU of that name.
  for (auto& property : schema["properties"]) property.erase("default");
  for (const params::ParameterSpec& spec : params::parameter_registry()) {
    if (spec.group() != "roofline_v1") continue;
    schema["properties"][std::string(spec.name())] = {{"description", fmt::format("the parameter {}", spec.id)}, {"type", "number"}};
  }
  for (const std::string_view key : kKeysWithoutEffect) {
    schema["properties"][std::string(key)] = {{"description", "has no effect; a warning says so"}};
  }
  schema["patternProperties"][fmt::format("^{}", kComment)] = {{"description", "for people"}};
  return text::map_schema(std::move(schema));
}

std::vector<HardwareEntry> read_hardware(const text::Node& object, const std::vector<domain::GpuSpec>& shipped, ConfigForm form,
                                         text::Problems& problems) {
  HardwareReader hardware(shipped, form, problems);
  for (const text::Member& member : object.members) {
    if (form == ConfigForm::config || !member.key.starts_with(kComment)) hardware.read(member);
  }
  return hardware.take();
}

}  // namespace rooftune::data
