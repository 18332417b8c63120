/// libgrad/functional/fallback.h -- the warning that a faster method failed and
/// a slower one is used instead.

#pragma once

#include <libgrad/grad/seeds.h>
#include <libgrad/torch/host.h>

#include <c10/util/Exception.h>

#include <mutex>
#include <string>
#include <unordered_set>

namespace libgrad::detail {

/// Rethrows `error`, which must be the exception that is being handled, when no
/// other attempt may follow it (as after a KeyboardInterrupt).
inline void rethrow_if_final(const std::exception& error) {
  const auto is_final = host().is_final;
  if (is_final != nullptr && is_final(error)) {
    throw;
  }
}

/// The first line of the message of `error`, without a backtrace.
inline std::string first_line(const std::exception& error) {
  const auto* ours = dynamic_cast<const c10::Error*>(&error);
  const std::string text =
      ours != nullptr ? ours->what_without_backtrace() : error.what();
  return text.substr(0, text.find('\n'));
}

/// True at the first call with `text`, and at every call where
/// torch.set_warn_always(True) holds.
inline bool worth_saying(const std::string& text) {
  static std::mutex mutex;
  static std::unordered_set<std::string> said;
  const std::lock_guard<std::mutex> lock(mutex);
  return said.insert(text).second || c10::WarningUtils::get_warnAlways();
}

/// Warns, once for each message, that `tried` failed with `error` and what is
/// done instead. Must be called while `error` is being handled; rethrows a
/// final one.
inline void warn_of_fallback(
    const Call& call,
    const char* tried,
    const std::exception& error,
    const char* instead) {
  rethrow_if_final(error);
  const auto text = std::string(call.name) + ": " + tried + " failed (" +
                    first_line(error) + "); " + instead;
  if (worth_saying(text)) {
    TORCH_WARN(text);
  }
}

}  // namespace libgrad::detail
