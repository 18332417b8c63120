#include "bindings/bindings.h"

#include <libgrad/draw.h>

#include <array>
#include <limits>

using libgrad::DrawOptions;
using libgrad::Fold;
using libgrad::Graph;
using libgrad::ShowSaved;
using libgrad::TreeOptions;

namespace {

std::string option_type(py::handle value) {
  return py::str(py::type::of(value).attr("__name__"));
}

/// The index of `value` in `words`.
template <size_t N>
size_t read_word(
    py::handle value,
    const std::string& what,
    const std::array<const char*, N>& words) {
  std::string known;
  for (size_t i = 0; i < N; ++i) {
    if (py::isinstance<py::str>(value) &&
        value.cast<std::string>() == words[i]) {
      return i;
    }
    known += (i == 0       ? "'"
              : i + 1 == N ? "' or '"
                           : "', '") +
             std::string(words[i]);
  }
  const auto text = what + " must be " + known + "', but is ";
  if (!py::isinstance<py::str>(value)) {
    throw py::type_error(text + option_type(value));
  }
  throw py::value_error(text + std::string(py::repr(value)));
}

size_t read_count(py::handle value, const std::string& what) {
  if (!py::isinstance<py::int_>(value) || py::isinstance<py::bool_>(value)) {
    throw py::type_error(
        what + " must be an int from 0 up, but is " + option_type(value));
  }
  if (value < py::int_(0)) {
    throw py::value_error(
        what + " must be an int from 0 up, but is " +
        std::string(py::str(value)));
  }
  constexpr auto most = std::numeric_limits<size_t>::max();
  return value > py::int_(most) ? most : value.cast<size_t>();
}

DrawOptions read_options(
    const std::string& name,
    py::handle fold,
    py::handle max_nodes,
    py::handle saved,
    py::handle title) {
  constexpr std::array folds{"auto", "none", "modules", "repeats"};
  constexpr std::array shows{"marks", "rows", "none"};
  DrawOptions options;
  options.fold = static_cast<Fold>(read_word(fold, name + ": fold", folds));
  options.max_nodes = read_count(max_nodes, name + ": max_nodes");
  options.saved =
      static_cast<ShowSaved>(read_word(saved, name + ": saved", shows));
  if (!title.is_none() && !py::isinstance<py::str>(title)) {
    throw py::type_error(
        name + ": title must be a str, but is " + option_type(title));
  }
  options.title = title.is_none() ? "" : title.cast<std::string>();
  return options;
}

/// `text` for `print`, which adds a newline of its own.
std::string without_last_newline(std::string text) {
  text.pop_back();
  return text;
}

std::string draw_text(
    const Graph& graph, py::handle fold, py::handle max_lines) {
  if (!py::isinstance<py::bool_>(fold)) {
    throw py::type_error(
        "text: fold must be a bool, but is " + option_type(fold));
  }
  TreeOptions options;
  options.fold = fold.cast<bool>();
  options.max_lines = max_lines.is_none()
                          ? std::numeric_limits<size_t>::max()
                          : read_count(max_lines, "text: max_lines");
  const py::gil_scoped_release unlocked;
  return without_last_newline(libgrad::to_text(graph, options));
}

/// Adds the method `name`, which calls `Draw` with its options.
template <std::string (*Draw)(const Graph&, const DrawOptions&)>
void add(py::class_<Graph, std::shared_ptr<Graph>>& type, const char* name) {
  type.def(
      name,
      [name](
          const Graph& graph,
          py::handle fold,
          py::handle max_nodes,
          py::handle saved,
          py::handle title) {
        const auto options = read_options(name, fold, max_nodes, saved, title);
        const py::gil_scoped_release unlocked;
        return Draw(graph, options);
      },
      py::kw_only(),
      "fold"_a = "auto",
      "max_nodes"_a = 2000,
      "saved"_a = "marks",
      "title"_a = py::none());
}

}  // namespace

void bind_draw(py::module_& m) {
  py::class_<Graph, std::shared_ptr<Graph>> type(m.attr("Graph"));
  type.def(
      "to_text",
      draw_text,
      py::kw_only(),
      "fold"_a = true,
      "max_lines"_a = 1000);
  type.attr("text") = type.attr("to_text");
  add<libgrad::to_dot>(type, "to_dot");
  add<libgrad::to_svg>(type, "to_svg");
  add<libgrad::to_html>(type, "to_html");
  type.def("to_json", libgrad::to_json);
  type.def("__str__", [](const Graph& graph) {
    return without_last_newline(libgrad::to_text(graph, TreeOptions{}));
  });
  type.def("_repr_svg_", [](const Graph& graph) {
    return libgrad::to_svg(graph, DrawOptions{});
  });
}
