// rooftune._core: what the package rooftune is made of. Not for users.
#include "bindings.hpp"
#include "rooftune/runs/run.hpp"

PYBIND11_MODULE(_core, module) {
  using namespace rooftune::python;
  module.attr("__version__") = rooftune::runs::versions().at("rooftune");
  add_problems(module);
  add_options(module);
  add_data(module);
  add_study(module);
  add_objective(module);
  add_plans(module);
  add_step_time(module);
}
