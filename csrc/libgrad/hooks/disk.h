/// libgrad/hooks/disk.h -- tensors in a file without a name.

#pragma once

#include <ATen/Functions.h>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace libgrad::detail {

/// A file without a name, which is gone once nobody has it open. Space that was
/// given back is used again.
class PageFile {
 public:
  explicit PageFile(const std::string& folder) : folder_(folder) {
    std::string name = folder + "/libgrad-XXXXXX";
    file_ = mkstemp(name.data());
    TORCH_CHECK(
        file_ >= 0,
        "save_on_disk: path must be a folder that can be written to, but "
        "in '",
        folder,
        "' no file can be made: ",
        std::strerror(errno));
    unlink(name.c_str());
    fcntl(file_, F_SETFD, FD_CLOEXEC);
  }
  PageFile(const PageFile&) = delete;
  PageFile& operator=(const PageFile&) = delete;
  ~PageFile() { close(file_); }

  /// True in the process that made it: only this one may write.
  bool is_mine() const { return process_ == getpid(); }
  const std::string& folder() const { return folder_; }

  /// Writes `size` bytes and returns where they are. Throws when they do not
  /// fit; what was written before stays.
  int64_t write(const void* data, int64_t size) {
    const int64_t place = take(size);
    const auto* bytes = static_cast<const char*>(data);
    for (int64_t done = 0; done < size;) {
      const auto n = pwrite(file_, bytes + done, size - done, place + done);
      if (n > 0) {
        done += n;
      } else if (n == 0 || errno != EINTR) {
        const int error = n == 0 ? ENOSPC : errno;
        give(place, size);
        TORCH_CHECK(
            false,
            "save_on_disk: a saved tensor of ",
            size,
            " bytes cannot be written to a file in '",
            folder_,
            "': ",
            std::strerror(error),
            ". What was saved before is not lost: free some room, or choose "
            "another path");
      }
    }
    return place;
  }

  /// Throws after a fork: the process that made the file may have written other
  /// data there meanwhile.
  void read(void* data, int64_t size, int64_t place) const {
    TORCH_CHECK(
        is_mine(),
        "save_on_disk: a tensor that was saved before a fork can be read by "
        "the process that saved it, not by the one that was forked");
    auto* bytes = static_cast<char*>(data);
    for (int64_t done = 0; done < size;) {
      const auto n = pread(file_, bytes + done, size - done, place + done);
      TORCH_CHECK(
          n > 0 || (n < 0 && errno == EINTR),
          "save_on_disk: a saved tensor cannot be read again from the file "
          "in '",
          folder_,
          "': ",
          n == 0 ? "it was cut off" : std::strerror(errno));
      done += std::max<int64_t>(n, 0);
    }
  }

  /// Gives back `size` bytes from `place` on.
  void give(int64_t place, int64_t size) {
    if (!is_mine()) {
      return;  // the bytes belong to the other process
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    auto next = free_.lower_bound(place);
    if (next != free_.end() && next->first == place + size) {
      size += next->second;
      next = free_.erase(next);
    }
    if (next != free_.begin()) {
      const auto before = std::prev(next);
      if (before->first + before->second == place) {
        place = before->first;
        size += before->second;
        free_.erase(before);
      }
    }
    if (place + size < end_) {
      free_.emplace(place, size);
      return;
    }
    end_ = place;
    if (ftruncate(file_, end_) != 0) {
      // the bytes stay on the disk until the file goes
    }
  }

 private:
  int64_t take(int64_t size) {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (auto found = free_.begin(); found != free_.end(); ++found) {
      const auto [place, room] = *found;
      if (room >= size) {
        free_.erase(found);
        if (room > size) {
          free_.emplace(place + size, room - size);
        }
        return place;
      }
    }
    const int64_t place = end_;
    end_ += size;
    return place;
  }

  std::string folder_;
  pid_t process_ = getpid();
  int file_ = -1;
  std::mutex mutex_;
  std::map<int64_t, int64_t> free_;  // sizes by place; neighbours are merged
  int64_t end_ = 0;
};

/// The file that this process writes to: after a fork, a new one.
class PageFiles {
 public:
  explicit PageFiles(const std::string& folder)
      : file_(std::make_shared<PageFile>(folder)) {}

  std::shared_ptr<PageFile> get() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!file_->is_mine()) {
      file_ = std::make_shared<PageFile>(file_->folder());
    }
    return file_;
  }

 private:
  std::mutex mutex_;
  std::shared_ptr<PageFile> file_;
};

/// A tensor in a file, or the tensor itself if it is no plain block of memory.
class PagedTensor {
 public:
  PagedTensor(std::shared_ptr<PageFile> file, const at::Tensor& tensor) {
    if (tensor.layout() != at::kStrided || tensor.is_nested() ||
        tensor.is_quantized() || tensor.numel() == 0 || tensor.is_meta() ||
        !tensor.has_storage() || tensor.is_conj() || tensor.is_neg() ||
        tensor.unsafeGetTensorImpl()->is_python_dispatch() ||
        tensor.key_set().has(c10::DispatchKey::FuncTorchBatched)) {
      tensor_ = tensor;
      return;
    }
    const auto host = tensor.cpu();
    const auto whole =
        host.is_non_overlapping_and_dense() ? host : host.contiguous();
    shape_ = whole.sizes().vec();
    strides_ = whole.strides().vec();
    options_ = tensor.options();
    size_ = static_cast<int64_t>(whole.nbytes());
    place_ = file->write(whole.const_data_ptr(), size_);
    file_ = std::move(file);
  }
  PagedTensor(PagedTensor&& other) noexcept = default;
  PagedTensor& operator=(PagedTensor&&) = delete;
  PagedTensor(const PagedTensor&) = delete;
  PagedTensor& operator=(const PagedTensor&) = delete;
  ~PagedTensor() {
    if (file_) {
      file_->give(place_, size_);
    }
  }

  at::Tensor read() const {
    if (!file_) {
      return tensor_;
    }
    auto host = at::empty_strided(shape_, strides_, options_.device(at::kCPU));
    file_->read(host.mutable_data_ptr(), size_, place_);
    return host.to(options_.device());
  }

 private:
  at::Tensor tensor_;
  std::shared_ptr<PageFile> file_;
  std::vector<int64_t> shape_;
  std::vector<int64_t> strides_;
  at::TensorOptions options_;
  int64_t size_ = 0;
  int64_t place_ = 0;
};

}  // namespace libgrad::detail
