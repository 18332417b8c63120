/// libgrad/draw.h: DOT, SVG, HTML and JSON of a snapshot, and harmless names.

#include "graph/hand_made_models.h"
#include "support/check.h"

#include <libgrad/libgrad.h>
#include <torch/types.h>

#include <algorithm>
#include <limits>

using hand_made::graph;
using hand_made::leaf;
using libgrad::Fold;
using libgrad::ShowSaved;
using libgrad::to_dot;
using libgrad::to_html;
using libgrad::to_json;
using libgrad::to_svg;
using libgrad::to_text;
namespace draw = libgrad::detail;

namespace {

bool has(const std::string& text, std::string_view part) {
  return text.find(part) != text.npos;
}

size_t count(const std::string& text, std::string_view part) {
  size_t found = 0;
  for (size_t at = 0; (at = text.find(part, at)) != text.npos; ++at) {
    ++found;
  }
  return found;
}

}  // namespace

TEST(graph_of_tensors_is_drawn_without_python) {
  const auto x = torch::ones({2, 3}, torch::requires_grad());
  const auto g = libgrad::graph({(x * x).sum()}, {.params = {{"x", x}}});
  EXPECT(to_text(g).starts_with("SumBackward0  float32 []\n"));
  EXPECT(to_svg(g, {.title = "Squares"}).starts_with("<svg "));
  EXPECT(has(to_svg(g, {.title = "Squares"}), ">Squares</text>"));
  EXPECT(to_dot(g).starts_with("digraph {\n"));
  EXPECT(has(to_dot(g), "n1 -> n2 [label=\"×2\"]\n"));
  EXPECT(to_html(g).starts_with("<!DOCTYPE html>\n"));
  EXPECT(has(to_json(g), "\"leaf\": \"x\""));
}

TEST(escaped_text_cannot_leave_its_place) {
  const std::string name("<a b='\"'>&\\\0\n\x1b\xff\xc3", 16);
  EXPECT(
      draw::xml(name) == "&lt;a b=&#39;&quot;&#39;&gt;&amp;\\␀␊␛\uFFFD\uFFFD");
  EXPECT(draw::dot(name) == "<a b='\\\"'>&amp;\\\\␀␊␛\uFFFD\uFFFD");
  EXPECT(
      draw::json(name) ==
      "\"\\u003ca b='\\\"'\\u003e\\u0026\\\\\\u0000\\u000a\\u001b"
      "\uFFFD\uFFFD\"");
  EXPECT(draw::xml("é → 🙂") == "é → 🙂");
  EXPECT(draw::json("\u2028") == "\"\\u2028\"");
}

TEST(bytes_that_are_no_utf8_are_replaced_one_by_one) {
  for (const char* bad :
       {"\x80",
        "\xC0\xAF",
        "\xE0\x80\xAF",
        "\xED\xA0\x80",
        "\xF4\x90\x80\x80",
        "\xF5",
        "\xE2\x82",
        "\xEF\xBF\xBF"}) {
    const auto text = draw::plain(bad);
    EXPECT(!text.empty() && text.size() % 3 == 0);
    for (size_t i = 0; i < text.size(); i += 3) {
      EXPECT(text.substr(i, 3) == "\uFFFD");
    }
  }
  EXPECT(draw::columns("é\xff\u202e") == 3);
}

TEST(numbers_are_words_a_person_reads) {
  EXPECT(draw::bytes_words(0) == "0 B");
  EXPECT(draw::bytes_words(1023) == "1023 B");
  EXPECT(draw::bytes_words(1024) == "1 KiB");
  EXPECT(draw::bytes_words(1536 * 1024) == "1.5 MiB");
  EXPECT(draw::bytes_words((int64_t{1} << 20U) - 1) == "1 MiB");
  EXPECT(draw::bytes_words(INT64_MAX) == "8 EiB");
  EXPECT(draw::count_words(0) == "0");
  EXPECT(draw::count_words(999) == "999");
  EXPECT(draw::count_words(1'234'567) == "1,234,567");
  EXPECT(draw::shape_words(std::vector<int64_t>{2, -1}) == "[2, ?]");
}

TEST(json_keeps_integers_that_doubles_cannot_hold) {
  auto g = graph({{"ExpBackward0", {{1, 0}}}, leaf("x")});
  g.nodes[0].sequence_nr = (uint64_t{1} << 53U) + 1;
  g.nodes[0].thread = uint64_t{1} << 53U;
  const auto text = to_json(g);
  EXPECT(has(text, "\"sequence_nr\": \"9007199254740993\""));
  EXPECT(has(text, "\"thread\": 9007199254740992,"));
  EXPECT(count(text, "\"sequence_nr\": null") == 1);  // of the leaf
}

TEST(what_is_not_known_is_null_in_json) {
  auto g =
      graph({{"ExpBackward0", {{1, 0}}, {2}, {{"result", {2}}}}, leaf("")});
  auto& saved = g.saved[0];
  saved.state = libgrad::SavedState::kReleased;
  saved.dtype = at::ScalarType::Undefined;
  saved.saved_version = saved.version = -1;
  saved.storage = libgrad::kNothing;
  g.ints[0] = -1;
  const auto text = to_json(g);
  EXPECT(has(text, "\"inputs\": [{\"shape\": [null], \"dtype\": \"float32\""));
  EXPECT(
      has(text,
          "\"state\": \"released\", \"hooks\": false, \"is_output\": false, "
          "\"shape\": null, \"dtype\": null, \"device\": null, "
          "\"saved_version\": null, \"version\": null, \"stale\": false, "
          "\"storage\": null"));
  EXPECT(has(text, "\"leaf\": null, \"label\": null, \"note\": null"));
}

TEST(stale_saved_tensor_is_red_and_not_by_colour_alone) {
  const auto stale =
      graph({{"SinBackward0", {{1, 0}}, {2}, {{"self", {2}, 1}}}, leaf("x")});
  const auto fresh =
      graph({{"SinBackward0", {{1, 0}}, {2}, {{"self", {2}, 0}}}, leaf("x")});
  const std::string red = draw::kStaleColours.fill;
  EXPECT(has(to_svg(stale), red) && !has(to_svg(fresh), red));
  EXPECT(has(to_svg(stale), "written to since it was saved"));
  EXPECT(has(to_svg(stale), "l4 4m0-4l-4 4"));  // a cross on the mark
  EXPECT(has(to_dot(stale), red) && !has(to_dot(fresh), red));
  EXPECT(!has(to_svg(stale, {.saved = ShowSaved::kNone}), red));
}

TEST(legend_names_what_there_is) {
  auto g = graph(
      {{.name = "A", .next = {{1, 0}}, .kind = hand_made::NodeKind::kPython},
       {.name = "B", .next = {{2, 0}}, .kind = hand_made::NodeKind::kView},
       leaf("x")});
  const auto text = to_svg(g);
  for (const char* word : {"root", "Python Function", "view written to"}) {
    EXPECT(has(text, ">" + std::string(word) + "</text>"));
  }
  EXPECT(!has(text, "C++ Function") && !has(text, "compiled graph"));
}

TEST(node_that_could_not_be_read_says_so) {
  const auto g = graph(
      {{.name = "A", .next = {{1, 0}}, .note = "no <access>"}, leaf("x")});
  EXPECT(has(to_svg(g), "not all could be read"));
  EXPECT(has(to_svg(g), "no &lt;access&gt;"));
  EXPECT(has(to_text(g), "A  float32 [2, 3]  (no <access>)\n"));
}

TEST(long_chain_is_a_small_picture) {
  const auto g = hand_made::chain(50'000);
  for (const auto& text : {to_svg(g), to_dot(g)}) {
    EXPECT(has(text, "×50,000") && text.size() < 4000);
  }
  const auto page = to_html(g);
  EXPECT(has(page, "×50,000") && page.size() < 60'000);
}

TEST(irregular_graph_of_many_nodes_is_folded_into_stretches) {
  const auto g = hand_made::irregular(5'000, 4);
  const auto text = to_svg(g);
  EXPECT(count(text, "<rect") < 500 && count(text, "<rect") > 20);
  EXPECT(has(text, "a box that counts its nodes stands for all of them"));
}

TEST(page_of_a_large_graph_holds_what_it_shows) {
  const auto page = to_html(hand_made::irregular(5'000, 4));
  EXPECT(page.size() < 8'000'000);
  EXPECT(!has(page, ">All nodes</button>"));
  const auto small = to_html(hand_made::transformer(12));
  EXPECT(has(small, ">All nodes</button>") && has(small, ">Folded</button>"));
}

TEST(empty_graph_is_drawn) {
  const libgrad::Graph nothing;
  EXPECT(to_svg(nothing).ends_with("</svg>\n"));
  EXPECT(to_dot(nothing).ends_with("}\n"));
  EXPECT(to_html(nothing).ends_with("</html>\n"));
  EXPECT(has(to_json(nothing), "\"nodes\": [\n]"));
}
