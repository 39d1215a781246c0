#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <exception>
#include <sstream>
#include <utility>

#include "document_syntax.hpp"

namespace rooftune::text {
namespace {

/// yaml-cpp counts from 0, and has null marks where it does not know.
Place to_place(const YAML::Mark& mark) { return mark.is_null() ? Place{} : Place{mark.line + 1, mark.column + 1}; }

/// Builds the tree from yaml-cpp's events: unlike its Node, they show every key, duplicates included, with its place.
class TreeBuilder final : public YAML::EventHandler {
 public:
  explicit TreeBuilder(std::string file) : file_(std::move(file)) {}

  core::Result<Document> document() && {
    if (!problems_.empty()) return tl::unexpected(std::move(problems_));
    return Document{.file = std::move(file_), .root = std::move(root_)};
  }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override {
    Node node = Node::at(to_place(mark));
    // The mark of a missing value is that of whatever follows; its key is the better place.
    if (!open_.empty() && open_.back().has_key) node.place = open_.back().key.place;
    accept(std::move(node));
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    refuse(to_place(mark), "aliases (*name) are not supported", "write the value out");
    accept(Node::at(to_place(mark)));
  }

  void OnAnchor(const YAML::Mark& mark, const std::string&) override {
    refuse(to_place(mark), "anchors (&name) are not supported", "write the value out where it is needed");
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t, const std::string& value) override {
    refuse_tag(to_place(mark), tag);
    // yaml-cpp gives plain scalars the tag "?" and quoted or block scalars "!".
    accept(Node::at(to_place(mark), Node::Kind::scalar, value, tag == "!"));
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t, YAML::EmitterStyle::value) override {
    open(Node::Kind::list, to_place(mark), tag);
  }
  void OnSequenceEnd() override { close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t, YAML::EmitterStyle::value) override {
    open(Node::Kind::object, to_place(mark), tag);
  }
  void OnMapEnd() override { close(); }

  [[nodiscard]] bool too_deep() const { return too_deep_; }

 private:
  struct Open {
    Node node;
    Member key{};  ///< of the member whose value comes next
    bool has_key = false;
    Members members{};
  };

  void refuse(Place place, std::string problem, std::string remedy) {
    add_problem(problems_, file_, place, std::move(problem), std::move(remedy));
  }

  void refuse_tag(Place place, const std::string& tag) {
    if (tag.empty() || tag == "?" || tag == "!") return;
    refuse(place, "tags (!name) are not supported", "remove the tag; put text in quotes");
  }

  void open(Node::Kind kind, Place place, const std::string& tag) {
    refuse_tag(place, tag);
    if (open_.size() >= core::limits::kNesting && !too_deep_) {
      too_deep_ = true;
      problems_.push_back(nesting_problem(file_, place));
    }
    open_.push_back({.node = Node::at(place, kind)});
  }

  void close() {
    Node node = std::move(open_.back().node);
    open_.pop_back();
    accept(std::move(node));
  }

  void accept(Node node) {
    if (++values_ == core::limits::kValues + 1) problems_.push_back(too_many_values(file_, node.place));
    if (values_ > core::limits::kValues) return;  // what is read from here on is of no use
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    Open& parent = open_.back();
    if (parent.node.kind == Node::Kind::list) {
      parent.node.items.push_back(std::move(node));
    } else if (!parent.has_key) {
      if (node.kind != Node::Kind::scalar) refuse(node.place, "a key must be a plain text", "quote it or correct the indentation");
      parent.key = {.key = std::move(node.text), .place = node.place};
      parent.has_key = true;
    } else {
      parent.key.value = std::move(node);
      parent.has_key = false;
      parent.members.add(parent.node, std::move(parent.key), file_, problems_);
    }
  }

  std::string file_;
  Node root_;
  std::vector<Open> open_;
  core::Diagnostics problems_;
  std::size_t values_ = 0;
  bool too_deep_ = false;
};

}  // namespace

core::Result<Document> parse_yaml(std::string_view text, std::string file) {
  std::istringstream stream{std::string(text)};
  TreeBuilder builder(file);
  try {
    YAML::Parser parser(stream);
    if (!parser.HandleNextDocument(builder)) {
      return core::fail({.file = std::move(file)}, "the file holds no value", "write it again or name another one");
    }
    if (TreeBuilder rest(file); parser.HandleNextDocument(rest)) {
      return core::fail({.file = std::move(file)}, "the file holds several YAML documents", "keep one; remove the lines '---'");
    }
  } catch (const YAML::Exception& error) {
    const Place place = to_place(error.mark);
    return core::fail({std::move(file), place.line, place.column}, fmt::format("not valid YAML: {}", error.msg),
                      "check indentation, colons and quotes here or just before");
  } catch (const std::exception& error) {
    // What the library lets pass from below it.
    return core::fail({.file = std::move(file)}, fmt::format("cannot be read as YAML: {}", error.what()),
                      "check that this is the right file");
  }
  return std::move(builder).document();
}

}  // namespace rooftune::text
