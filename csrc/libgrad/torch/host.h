/// libgrad/torch/host.h -- the functions of libgrad's Python side that its C++
/// calls: the one port between the two.
///
/// The bindings set them when libgrad is imported. All extensions share them;
/// in a program without Python every member stays null.

#pragma once

#include <libgrad/torch/dispatch/shared.h>

#include <c10/core/SafePyObject.h>
#include <c10/util/FunctionRef.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/saved_variable.h>

#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <utility>

namespace libgrad::detail {

struct Hooks;
struct Place;
struct SavedPlace;
class PointerIndex;

/// Functions of the Python side. Any thread may call them, without the GIL.
struct Host {
  using HooksPtr = std::shared_ptr<const Hooks>;
  using SavedSink = c10::function_ref<void(const SavedPlace&)>;
  /// An entry of torch's stack of saved-tensor hooks.
  using StackEntry = std::pair<c10::SafePyObject, c10::SafePyObject>;

  /// True for an error that no other attempt may follow, such as a
  /// KeyboardInterrupt. Called before each new attempt; may clear the Python
  /// error that `error` has left behind.
  bool (*is_final)(const std::exception& error) = nullptr;

  /// Line `line` of the source file `file`.
  std::string (*read_source)(const std::string& file, int64_t line) = nullptr;

  /// The line of the program that this thread is at. Must not throw. Unless
  /// `library` is null, sets `*library` to the innermost call if that is a
  /// library's, else to null. `name_of_library_call` names such a call.
  Place (*place_of_caller)(const void** library) = nullptr;
  std::string (*name_of_library_call)(const void* library) = nullptr;

  /// Passes to `sink` the tensors that the node of a Python Function saved.
  /// Returns in words what could not be read; empty if nothing.
  std::string (*read_python_node)(torch::autograd::Node& node, SavedSink sink) =
      nullptr;

  /// Passes to `sink` the tensors in the value that Python hooks made of
  /// `packed`, and the tensors that the hooks hold themselves. The latter are
  /// passed once for each hook; `hooks` has the hooks that were seen.
  void (*read_packed)(
      const torch::autograd::SavedVariable& packed,
      PointerIndex& hooks,
      SavedSink sink) = nullptr;

  /// The C++ hooks in an entry that is a Python object; null for Python hooks.
  HooksPtr (*hooks_of_entry)(const StackEntry& entry) = nullptr;

  /// An entry for C++ hooks that torch's Python may look at.
  StackEntry (*entry_of_hooks)(HooksPtr hooks) = nullptr;

  static Host* make() { return new Host; }
};

/// The host of this process.
inline Host& host() {
  static Host& shared = shared_by_extensions<Host, &Host::make>("_host_2");
  return shared;
}

}  // namespace libgrad::detail
