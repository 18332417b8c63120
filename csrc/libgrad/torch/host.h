/// libgrad/torch/host.h -- what libgrad's Python does for its C++: the one port
/// between the two.
///
/// The bindings fill it in when libgrad is imported. All extensions share it;
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

/// Functions of Python's side. They may be called without the GIL, by any
/// thread.
struct Host {
  using HooksPtr = std::shared_ptr<const Hooks>;
  using SavedSink = c10::function_ref<void(const SavedPlace&)>;
  /// An entry of torch's stack of saved-tensor hooks.
  using StackEntry = std::pair<c10::SafePyObject, c10::SafePyObject>;

  /// True for an error that must not lead to another attempt, such as a
  /// KeyboardInterrupt. Asked before each new attempt; it may clear what the
  /// error has left behind.
  bool (*is_final)(const std::exception& error) = nullptr;

  /// Line `line` of the source file `file`.
  std::string (*read_source)(const std::string& file, int64_t line) = nullptr;

  /// Where the thread stands. Must not throw. Where `library` is not null it
  /// becomes what `name_of_library_call` names: the innermost call, where that
  /// is a library's.
  Place (*place_of_caller)(const void** library) = nullptr;
  std::string (*name_of_library_call)(const void* library) = nullptr;

  /// Tells the sink what the node of a Python Function saved; returns what it
  /// cannot tell, in words.
  std::string (*read_python_node)(torch::autograd::Node& node, SavedSink sink) =
      nullptr;

  /// Tells the sink of the tensors in what Python hooks made of `packed`, and
  /// of those that the hooks hold besides, once for each of `hooks`.
  void (*read_packed)(
      const torch::autograd::SavedVariable& packed,
      PointerIndex& hooks,
      SavedSink sink) = nullptr;

  /// The hooks of C++ in an entry that is an object of Python; null for hooks
  /// of Python.
  HooksPtr (*hooks_of_entry)(const StackEntry& entry) = nullptr;

  /// An entry for hooks of C++ that torch's Python may look at.
  StackEntry (*entry_of_hooks)(HooksPtr hooks) = nullptr;

  static Host* make() { return new Host; }
};

/// The one of this process.
inline Host& host() {
  static Host& shared = shared_by_extensions<Host, &Host::make>("_host_1");
  return shared;
}

}  // namespace libgrad::detail
