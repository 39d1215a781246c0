#include "guidellm_data.hpp"

#include <algorithm>
#include <charconv>
#include <string>

#include "settings_text.hpp"

namespace rooftune::importers {
namespace {

double number_or(std::string_view text, double otherwise) {
  double value = 0.0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  return parsed.ec == std::errc() ? value : otherwise;
}

std::string text_of(const text::Node& object, std::string_view key) {
  const text::Node* found = object.find(key);
  return found != nullptr && found->kind == text::Node::Kind::scalar ? found->text : std::string();
}

/// A bucket of its three values; texts that are empty leave the default.
void add_bucket(SyntheticData& data, std::string_view weight, std::string_view count, std::string_view tokens) {
  constexpr double kMost = 1e7;
  const PrefixBucket bucket{.weight = number_or(weight, 1.0),
                            .count = static_cast<int>(std::clamp(number_or(count, 1.0), 1.0, kMost)),
                            .tokens = static_cast<int>(std::clamp(number_or(tokens, 0.0), 0.0, kMost))};
  if (bucket.tokens > 0 && bucket.weight > 0.0) data.prefixes.push_back(bucket);
}

/// Data that a version writes as text: JSON, Python's way of printing it, or key=value pairs.
void read_text_form(std::string_view text, SyntheticData& data) {
  data.turns = std::max(data.turns, static_cast<int>(number_or(nested_setting(text, "turns"), 1.0)));
  const std::string buckets = nested_setting(text, "prefix_buckets");
  if (buckets.find('{') == std::string::npos) {
    add_bucket(data, "", nested_setting(text, "prefix_count"), nested_setting(text, "prefix_tokens"));
    return;
  }
  for (std::size_t start = buckets.find('{'); start != std::string::npos;) {
    const std::size_t end = std::min(buckets.find('}', start), buckets.size());
    const std::string_view bucket = std::string_view(buckets).substr(start, end - start);
    add_bucket(data, nested_setting(bucket, "bucket_weight"), nested_setting(bucket, "prefix_count"),
               nested_setting(bucket, "prefix_tokens"));
    start = buckets.find('{', end);
  }
}

void read_form(const text::Node& node, SyntheticData& data) {
  switch (node.kind) {
    case text::Node::Kind::null: return;
    case text::Node::Kind::scalar: read_text_form(node.text, data); return;
    case text::Node::Kind::list:
      for (const text::Node& item : node.items) read_form(item, data);
      return;
    case text::Node::Kind::object: break;
  }
  data.turns = std::max(data.turns, static_cast<int>(number_or(text_of(node, "turns"), 1.0)));
  const text::Node* buckets = node.find("prefix_buckets");
  if (buckets == nullptr || buckets->kind != text::Node::Kind::list) {
    add_bucket(data, "", text_of(node, "prefix_count"), text_of(node, "prefix_tokens"));
    return;
  }
  for (const text::Node& bucket : buckets->items) {
    add_bucket(data, text_of(bucket, "bucket_weight"), text_of(bucket, "prefix_count"), text_of(bucket, "prefix_tokens"));
  }
}

}  // namespace

SyntheticData guidellm_data(const text::Node& report, const text::Node& benchmark) {
  const text::Node* found = find_any(benchmark, {"request_loader.data", "args.data", "config.requests.data", "config.data"});
  if (found == nullptr) found = find_any(report, {"config.spec.data", "config.data", "args.data", "metadata.args.data"});
  SyntheticData data;
  if (found != nullptr) read_form(*found, data);
  return data;
}

}  // namespace rooftune::importers
