#pragma once

#include <string>

#include "rooftune/params/registry.hpp"

namespace rooftune::params {

/// The group of parameters that studies declare.
inline constexpr std::string_view kExternalGroup = "external";

/// A parameter of somebody else's simulator, as a study describes it. Its id is "external.<name>".
struct DeclaredParameter {
  std::string name;
  std::string unit = "1";
  double lower = 0.0;
  double initial = 0.0;
  double upper = 0.0;
  Transform transform = Transform::linear;
  std::string meaning;
  friend bool operator==(const DeclaredParameter&, const DeclaredParameter&) = default;
};

/// At most so many names in one process: of an external program's parameters, and of terms, the loop's own included.
inline constexpr std::size_t kMostDeclared = 256;
inline constexpr std::size_t kMostTerms = 512;

/// Adds the parameter to the registry for the rest of the process; a name that is declared again is described anew. Before any
/// values are resolved and while no other thread runs: reading a study does it.
ParameterId declare(const DeclaredParameter& parameter);
/// The same with the id "<group>.<name>".
ParameterId declare_in(std::string_view group, const DeclaredParameter& parameter);

}  // namespace rooftune::params
