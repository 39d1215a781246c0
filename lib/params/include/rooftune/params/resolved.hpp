#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "rooftune/params/registry.hpp"

namespace rooftune::params {

/// A value for every parameter and a choice for every switch: what one deployment is simulated with.
template <class Scalar>
class Resolved {
 public:
  /// Registry defaults.
  Resolved();

  [[nodiscard]] const Scalar& operator[](ParameterId id) const { return values_[id.index]; }
  Scalar& operator[](ParameterId id) { return values_[id.index]; }
  [[nodiscard]] const Scalar& operator[](std::string_view id) const { return values_[parameter(id).index]; }

  [[nodiscard]] std::size_t choice(SwitchId id) const { return choices_[id.index]; }
  void choose(SwitchId id, std::size_t choice) { choices_[id.index] = choice; }
  /// The word that the switch is set to, e.g. "on".
  [[nodiscard]] std::string_view choice(std::string_view id) const {
    const SwitchId found = switch_id(id);
    return found.spec().choices[choices_[found.index]];
  }
  [[nodiscard]] bool is_on(std::string_view id) const { return choice(id) == "on"; }

  /// The same values and choices with another scalar, derivatives zero.
  template <class Other>
  [[nodiscard]] Resolved<Other> as() const {
    Resolved<Other> other;
    for (std::size_t i = 0; i < values_.size(); ++i) other[ParameterId{i}] = Other(values_[i]);
    for (std::size_t i = 0; i < choices_.size(); ++i) other.choose(SwitchId{i}, choices_[i]);
    return other;
  }

 private:
  std::vector<Scalar> values_;
  std::vector<std::size_t> choices_;
};

template <class Scalar>
Resolved<Scalar>::Resolved() {
  for (const ParameterSpec& spec : parameter_registry()) values_.push_back(Scalar(spec.initial));
  for (const SwitchSpec& spec : switch_registry()) choices_.push_back(spec.initial);
}

}  // namespace rooftune::params
