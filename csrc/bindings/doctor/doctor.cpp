#include "bindings/bindings.h"
#include "bindings/grad/watch.h"
#include "bindings/graph/parts.h"
#include "bindings/python/guards.h"

#include <libgrad/doctor.h>

#include <pybind11/stl.h>

using libgrad::CallSite;
using libgrad::Finding;
using libgrad::FindingWrite;

namespace {

/// `text`; None for an empty one, which is not known.
py::object known(const std::string& text) {
  return text.empty() ? py::object(py::none()) : py::cast(text);
}

template <class T>
auto known_text(std::string T::* member) {
  return [member](const T& self) { return known(self.*member); };
}

/// A version; None for a tensor that has none.
py::object version(int64_t version) {
  return version < 0 ? py::object(py::none()) : py::cast(version);
}

std::vector<Finding> diagnose(
    const py::tuple& roots,
    const std::vector<std::pair<std::string, at::Tensor>>& params) {
  const auto edges = roots_of(roots, "diagnose").first;
  return libgrad::detail::StaleFinder(edges, params).run();
}

/// The findings, with the one that `error` is about first.
std::vector<Finding> put_first(
    std::vector<Finding> findings, const std::string& error) {
  libgrad::detail::put_first(findings, error);
  return findings;
}

std::string read_source(const std::string& file, int64_t line) {
  const py::gil_scoped_acquire gil;
  return py::module_::import("linecache")
      .attr("getline")(file, line)
      .cast<std::string>();
}

std::string repr(const CallSite& call) {
  return call.op + libgrad::detail::at_line(call);
}

std::string repr(const FindingWrite& write) {
  return "FindingWrite(" + repr(write.call) + ")";
}

std::string repr(const Finding& finding) {
  return "Finding(" + finding.node + " needs " +
         libgrad::detail::field_of(finding) + ", " +
         libgrad::detail::tensor_of(finding) + ")";
}

void bind_calls(py::module_& m) {
  py::class_<CallSite>(m, "CallSite")
      .def_property_readonly("op", known_text(&CallSite::op))
      .def_property_readonly("file", known_text(&CallSite::file))
      .def_property_readonly(
          "line",
          [](const CallSite& call) {
            return call.line == 0 ? py::object(py::none())
                                  : py::cast(call.line);
          })
      .def_property_readonly("module", known_text(&CallSite::module))
      .def("__repr__", [](const CallSite& call) {
        return "CallSite(" + repr(call) + ")";
      });
  py::class_<FindingWrite>(
      m, "FindingWrite", "An operator that wrote into a saved tensor.")
      .def_property_readonly(
          "op", [](const FindingWrite& write) { return known(write.call.op); })
      .def_property_readonly(
          "file",
          [](const FindingWrite& write) { return known(write.call.file); })
      .def_property_readonly(
          "line",
          [](const FindingWrite& write) {
            return write.call.line == 0 ? py::object(py::none())
                                        : py::cast(write.call.line);
          })
      .def_property_readonly(
          "module",
          [](const FindingWrite& write) { return known(write.call.module); })
      .def_property_readonly("library", known_text(&FindingWrite::library))
      .def_property_readonly(
          "before",
          [](const FindingWrite& write) { return version(write.before); })
      .def_property_readonly(
          "after",
          [](const FindingWrite& write) { return version(write.after); })
      .def("__repr__", [](const FindingWrite& write) { return repr(write); });
}

void bind_finding(py::module_& m) {
  py::class_<Finding>(
      m, "Finding", "A saved tensor that is no more what it was.")
      .def_readonly("node", &Finding::node)
      .def_readonly("id", &Finding::id)
      .def_readonly("order", &Finding::order)
      .def_readonly("field", &Finding::field)
      .def_readonly("index", &Finding::index)
      .def_property_readonly(
          "shape",
          [](const Finding& self) { return py::tuple(py::cast(self.shape)); })
      .def_readonly("dtype", &Finding::dtype)
      .def_readonly("device", &Finding::device)
      .def_property_readonly(
          "saved_version",
          [](const Finding& self) { return version(self.saved_version); })
      .def_property_readonly(
          "version", [](const Finding& self) { return version(self.version); })
      .def_readonly("silent", &Finding::silent)
      .def_readonly("saved_by", &Finding::saved_by)
      .def_property_readonly("made_by", known_text(&Finding::made_by))
      .def_readonly("made_at", &Finding::made_at)
      .def_readonly("is_leaf", &Finding::is_leaf)
      .def_property_readonly("leaf", known_text(&Finding::leaf))
      .def_property_readonly(
          "writes",
          [](const Finding& self) { return py::tuple(py::cast(self.writes)); })
      .def_readonly("unseen", &Finding::unseen)
      .def_readonly("unchanged_at", &Finding::unchanged_at)
      .def_readonly("changed_at", &Finding::changed_at)
      .def_readonly("advice", &Finding::advice)
      .def(
          "__str__", [](const Finding& self) { return libgrad::to_text(self); })
      .def("__repr__", [](const Finding& self) { return repr(self); });
}

}  // namespace

void bind_doctor(py::module_& m) {
  libgrad::detail::host().read_source = read_source;
  bind_calls(m);
  bind_finding(m);
  for (const char* type : {"CallSite", "FindingWrite", "Finding"}) {
    m.attr(type).attr("__module__") = "libgrad.types";
  }
  torch::impl::py_context_manager<libgrad::detail::SpyScope>(m, "SpyScope");
  torch::impl::py_context_manager<libgrad::detail::ContentsScope>(
      m, "ContentsScope");
  m.def("pause_contents", libgrad::detail::ContentsScope::pause);
  m.def("resume_contents", libgrad::detail::ContentsScope::resume);
  py::class_<libgrad::detail::Frozen::Handle>(
      m, "FrozenMemory", "Memory that nobody may write to.")
      .def("thaw", [](libgrad::detail::Frozen::Handle memory) {
        libgrad::detail::Frozen::instance().remove(memory);
      });
  m.def("freeze", wrap_pybind_function(libgrad::detail::freeze), "tensor"_a);
  m.def("diagnose", wrap_pybind_function(diagnose), "roots"_a, "params"_a);
  m.def("put_first", put_first, "findings"_a, "error"_a);
  m.def(
      "speaks_of_a_write",
      [](const std::string& error) {
        return libgrad::detail::speaks_of_a_write(error);
      },
      "error"_a);
  m.def("findings_text", libgrad::detail::findings_text, "findings"_a);
  m.def("watch_engine", watch_engine, "watch"_a);
}
