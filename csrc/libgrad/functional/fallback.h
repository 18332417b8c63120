/// libgrad/functional/fallback.h -- saying that a faster way was not to be had.

#pragma once

#include <libgrad/grad/seeds.h>
#include <libgrad/torch/host.h>

#include <c10/util/Exception.h>

#include <mutex>
#include <string>
#include <unordered_set>

namespace libgrad::detail {

/// Called while `error` is caught: throws it on when nothing may follow it.
inline void rethrow_if_final(const std::exception& error) {
  const auto is_final = host().is_final;
  if (is_final != nullptr && is_final(error)) {
    throw;
  }
}

/// What `error` says, in one line and without a backtrace.
inline std::string first_line(const std::exception& error) {
  const auto* ours = dynamic_cast<const c10::Error*>(&error);
  const std::string text =
      ours != nullptr ? ours->what_without_backtrace() : error.what();
  return text.substr(0, text.find('\n'));
}

/// True the first time that it is called with `text`, and always where
/// torch.set_warn_always(True) holds.
inline bool worth_saying(const std::string& text) {
  static std::mutex mutex;
  static std::unordered_set<std::string> said;
  const std::lock_guard<std::mutex> lock(mutex);
  return said.insert(text).second || c10::WarningUtils::get_warnAlways();
}

/// Warns, once for each error, that `instead` is done for what it stopped.
/// Called while `error` is caught; throws it on when it is final.
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
