#include "problems.hpp"

namespace rooftune::python {
namespace {

// They live as long as the interpreter, which holds the module.
PyObject* error_type = nullptr;
PyObject* refused_type = nullptr;
PyObject* warning_type = nullptr;

py::list as_list(const core::Diagnostics& diagnostics) {
  py::list list;
  for (const core::Diagnostic& one : diagnostics) {
    py::dict entry;
    entry["file"] = one.position.file;
    entry["line"] = one.position.line;
    entry["column"] = one.position.column;
    entry["problem"] = one.problem;
    entry["remedy"] = one.remedy;
    entry["severity"] = one.severity == core::Severity::error ? "error" : "warning";
    list.append(std::move(entry));
  }
  return list;
}

void raise_problem(const Problem& problem) {
  std::string text = problem.what();
  while (text.ends_with('\n')) text.pop_back();
  py::object error = py::reinterpret_borrow<py::object>(error_type)(text);
  error.attr("diagnostics") = as_list(problem.diagnostics());
  PyErr_SetObject(error_type, error.ptr());
}

PyObject* add_exception(py::module_& module, const char* name, const char* documentation, PyObject* base) {
  PyObject* const type = PyErr_NewExceptionWithDoc(("rooftune." + std::string(name)).c_str(), documentation, base, nullptr);
  if (type == nullptr) throw py::error_already_set();
  module.attr(name) = py::reinterpret_borrow<py::object>(type);
  return type;
}

}  // namespace

void fail(std::string problem, std::string remedy) {
  throw Problem({{.position = {}, .problem = std::move(problem), .remedy = std::move(remedy)}});
}

void warn(const core::Diagnostics& diagnostics) {
  for (const core::Diagnostic& one : diagnostics) {
    if (PyErr_WarnEx(warning_type, core::format(one).c_str(), 2) != 0) throw py::error_already_set();
  }
}

void add_problems(py::module_& module) {
  error_type = add_exception(module, "Error",
                             "Something wrong with what was given. The text is the commands': `file:line:column: error: problem "
                             "(remedy)`, a line each; `diagnostics` holds the parts as dicts.",
                             PyExc_Exception);
  PyObject_SetAttrString(error_type, "diagnostics", py::list().ptr());
  refused_type = add_exception(module, "Refused", "A point that cannot be evaluated: the simulation or a tie refuses it.", error_type);
  warning_type = add_exception(module, "Warning", "What commands print as `warning: ...`.", PyExc_UserWarning);
  py::register_exception_translator([](std::exception_ptr thrown) {
    try {
      if (thrown) std::rethrow_exception(thrown);
    } catch (const Problem& problem) {
      raise_problem(problem);
    } catch (const RefusedPoint& refused) {
      PyErr_SetString(refused_type, refused.what());
    }
  });
}

}  // namespace rooftune::python
