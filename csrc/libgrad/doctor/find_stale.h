/// libgrad/doctor/find_stale.h -- finds the saved tensors of a graph that have
/// changed, and who wrote to them.

#pragma once

#include <libgrad/doctor/contents_log.h>
#include <libgrad/doctor/finding.h>
#include <libgrad/doctor/remedy.h>
#include <libgrad/graph/take.h>
#include <libgrad/torch/autograd/edges.h>

#include <c10/util/flat_hash_map.h>

#include <algorithm>
#include <optional>
#include <utility>

namespace libgrad::detail {

inline CallSite call_site(uint32_t op, const Here& where) {
  const auto& origins = Origins::instance();
  CallSite call{
      .op = std::string(origins.text(op)),
      .module = std::string(origins.text(where.module))};
  if (where.place.key != nullptr) {
    std::tie(call.file, call.line) = source_of(where.place);
  }
  return call;
}

/// The call that made `node`; if it was not recorded, the operator only. A node
/// that the engine itself made is that of a view, made anew after its base was
/// written to: the call that made the first node is no longer known.
inline CallSite call_of(const RawNode& node) {
  const auto [thread, number] = number_of(node);
  if (const auto seen = Origins::instance().find(thread, number)) {
    auto call = call_site(seen->op, {seen->place, seen->module});
    if (!call.op.starts_with("autograd::engine::")) {
      return call;
    }
  }
  return {.op = std::string(op_of(node_name(node.name())))};
}

/// The node that had made a tensor when `node` saved it; `now` is the tensor's
/// present grad_fn. A write in place puts its own node in between: the original
/// one is a successor of `node`, and of these the nearest behind `now`.
inline const RawNode* maker_before_writes(
    const RawNode& node, const RawNode* now) {
  constexpr size_t kMost = 4096;
  std::vector<const RawNode*> open{now};
  ska::flat_hash_set<const RawNode*> met{now};
  for (size_t i = 0; i < open.size() && i < kMost; ++i) {
    for (const auto& edge : node.next_edges()) {
      if (edge.function.get() == open[i]) {
        return open[i];
      }
    }
    for (const auto& edge : open[i]->next_edges()) {
      if (edge.is_valid() && met.insert(edge.function.get()).second) {
        open.push_back(edge.function.get());
      }
    }
  }
  return now;
}

/// Finds the changed tensors among those that the nodes behind `roots` saved.
class StaleFinder {
 public:
  using Names = std::vector<std::pair<std::string, at::Tensor>>;

  /// `roots` and `names` must outlive the finder.
  StaleFinder(const edge_list& roots, const Names& names)
      : roots_(roots),
        names_(names),
        walk_(walked_) {
    for (const auto& root : roots) {
      walk_.start_from(root);
    }
    walk_.run();
  }

  /// The findings, in the order of backward. They include tensors with the same
  /// version whose contents differ from those in the ContentsLog.
  std::vector<Finding> run() && {
    const auto count = walk_.nodes().size();
    for (Index id = 0; id < count; ++id) {
      auto& node = walk_.node(id);
      const auto known = known_node(typeid(node));
      if (known.layout != KnownNode::kLeaf) {
        look_at(node, known, id);
      }
    }
    std::stable_sort(
        findings_.begin(),
        findings_.end(),
        [](const Finding& a, const Finding& b) { return a.order < b.order; });
    return std::move(findings_);
  }

 private:
  void look_at(RawNode& node, const KnownNode& known, Index id) {
    const auto contents = ContentsLog::instance().of(node);
    size_t i = 0;
    read_saved(node, known, [&](const SavedPlace& place) {
      const auto* before = contents && i < contents->saved.size()
                               ? &contents->saved[i]
                               : nullptr;
      ++i;
      if (place.tensor == nullptr) {
        return;
      }
      const auto version = version_of(*place.tensor->unsafeGetTensorImpl());
      if (place.version >= 0 && version >= 0 && place.version != version) {
        add_stale(node, place, id);
      } else if (
          before != nullptr && before->storage &&
          Content::can_read(*place.tensor) &&
          !(before->content == Content(*place.tensor))) {
        add_silent(node, place, id, *contents, *before);
      }
    });
  }

  Finding& add(const RawNode& node, const SavedPlace& place, Index id) {
    const auto& impl = *place.tensor->unsafeGetTensorImpl();
    const auto& seen = graph().nodes[id];
    auto& finding = findings_.emplace_back();
    finding.node = seen.name;
    finding.id = id;
    finding.order = seen.order;
    finding.field = place.field;
    if (place.index != kNothing) {
      finding.index = place.index;
    }
    if (!impl.is_nested()) {
      for (const auto& size : impl.sym_sizes()) {
        finding.shape.push_back(size.maybe_as_int().value_or(-1));
      }
    }
    finding.dtype = c10::typeMetaToScalarType(impl.dtype());
    finding.device = device_of(impl);
    finding.saved_version = place.version;
    finding.version = version_of(impl);
    finding.saved_by = call_of(node);
    tell_of_maker(node, place, id, finding);
    return finding;
  }

  /// Fills in where the tensor itself comes from.
  void tell_of_maker(
      const RawNode& node,
      const SavedPlace& place,
      Index id,
      Finding& finding) {
    const RawNode* maker = nullptr;
    if (place.output) {
      maker = &node;
    } else if (place.variable != nullptr) {
      maker = (place.variable->*member(SavedGradFn())).get();
    }
    if (maker == nullptr) {
      maker = torch::autograd::impl::grad_fn_unsafe(*place.tensor);
    }
    if (maker != nullptr && maker != &node) {
      maker = maker_before_writes(node, maker);
    }
    if (maker != nullptr) {
      finding.made_by = node_name(maker->name());
      finding.made_at = call_of(*maker);
    }
    for (const auto& saved : graph().saved_of(graph().nodes[id])) {
      if (saved.field == place.field && saved.index == place.index &&
          saved.leaf != kNothing) {
        finding.is_leaf = true;
        finding.leaf = graph().nodes[saved.leaf].leaf;
        return;
      }
    }
    if (maker == nullptr) {
      finding.made_at = last_write(*place.tensor->unsafeGetTensorImpl(), node);
    }
  }

  /// The number of writes seen before `node` was made.
  static uint64_t writes_before(const RawNode& node) {
    const auto [thread, number] = number_of(node);
    const auto seen = Origins::instance().find(thread, number);
    return seen ? seen->writes : 0;
  }

  /// The call that last wrote to a tensor before `node` saved it.
  static CallSite last_write(
      const c10::TensorImpl& tensor, const RawNode& node) {
    CallSite last;
    for (const auto& write : Writes::instance().of(tensor)) {
      if (write.number <= writes_before(node)) {
        last = call_site(write.op, write.where);
      }
    }
    return last;
  }

  void add_stale(const RawNode& node, const SavedPlace& place, Index id) {
    auto& finding = add(node, place, id);
    const auto& impl = *place.tensor->unsafeGetTensorImpl();
    const auto* counter = counter_of(impl);
    const auto since = writes_before(node);
    int64_t known = finding.saved_version;  // explained up to this version
    for (const auto& write : Writes::instance().of(impl)) {
      if (write.counter == counter && write.number > since &&
          write.after > known) {
        finding.unseen += std::max<int64_t>(write.before - known, 0);
        known = write.after;
        add_write(write, finding);
      }
    }
    finding.unseen += std::max<int64_t>(finding.version - known, 0);
    finding.advice = advice_for(finding);
  }

  void add_silent(
      const RawNode& node,
      const SavedPlace& place,
      Index id,
      const NodeContents& contents,
      const SavedContent& before) {
    auto& finding = add(node, place, id);
    finding.silent = true;
    const auto& impl = *place.tensor->unsafeGetTensorImpl();
    if (before.is_in(impl)) {  // else its storage was exchanged: x.data = y
      for (const auto& write : Writes::instance().into(impl, contents.writes)) {
        add_write(write, finding);
      }
    }
    finding.unchanged_at = call_site(0, contents.where);
    finding.changed_at = call_site(0, where_called());
    for (const auto& [where, later] :
         ContentsLog::instance().since(contents.number, before)) {
      const bool same = later.content == before.content;
      (same ? finding.unchanged_at : finding.changed_at) = call_site(0, where);
      if (!same) {
        break;
      }
    }
    finding.advice = advice_for(finding);
  }

  static void add_write(const Write& write, Finding& finding) {
    finding.writes.push_back(
        {call_site(write.op, write.where),
         write.library != nullptr && host().name_of_library_call != nullptr
             ? host().name_of_library_call(write.library)
             : std::string(),
         write.before,
         write.after});
  }

  /// The whole snapshot, taken for the first finding. Its nodes have the ids
  /// that the walk gives them.
  const Graph& graph() {
    if (!graph_) {
      graph_ = take_graph(roots_, {}, names_);
    }
    return *graph_;
  }

  const edge_list& roots_;
  const Names& names_;
  std::optional<Graph> graph_;
  Graph walked_;  // nodes and edges alone
  GraphWalk walk_;
  std::vector<Finding> findings_;
};

}  // namespace libgrad::detail
