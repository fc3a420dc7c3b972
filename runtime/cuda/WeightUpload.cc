#include "runtime/cuda/WeightUpload.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <future>

#include "ir/base/Hash.h"
#include "ir/base/Status.h"
#include "runtime/cuda/CudaObjects.h"

namespace dejavu::cuda {
namespace {

/// Compares tensors with their hashes as their bytes come by, in the order of the layout.
class StreamedHashes {
 public:
  StreamedHashes(const Weights& weights, const WeightLayout& layout) : weights_(weights), layout_(layout) {}

  /// `window` are the bytes from `start` on, where the last window ended.
  absl::Status Add(int64_t start, std::span<const std::byte> window) {
    const int64_t end = start + static_cast<int64_t>(window.size());
    while (tensor_ < weights_.size() && layout_.offsets[tensor_] < end) {
      const int64_t tensor_start = layout_.offsets[tensor_];
      const int64_t tensor_end = tensor_start + static_cast<int64_t>(weights_.tensor(tensor_).size());
      const int64_t from = std::max(start, tensor_start);
      hasher_.Update(
          window.subspan(static_cast<size_t>(from - start), static_cast<size_t>(std::min(end, tensor_end) - from)));
      if (tensor_end > end) {
        return absl::OkStatus();
      }
      RETURN_IF_ERROR(weights_.CheckHash(tensor_, hasher_.Digest()));
      hasher_.Reset();
      ++tensor_;
    }
    return absl::OkStatus();
  }

 private:
  const Weights& weights_;
  const WeightLayout& layout_;
  Hasher hasher_;
  size_t tensor_ = 0;  // the first whose end hasn't come by
};

class Uploader {
 public:
  Uploader(const CudaDevice& device, const Weights& weights, const WeightLayout& layout, const WeightOptions& options,
           int64_t window_bytes)
      : device_(device),
        weights_(weights),
        layout_(layout),
        options_(options),
        window_bytes_(window_bytes),
        hashes_(weights, layout) {}

  absl::Status Run(DevicePointer base) {
    ASSIGN_OR_RETURN(stream_, NewStream(device_));
    for (Buffer& buffer : buffers_) {
      ASSIGN_OR_RETURN(buffer.memory, AllocatePinned(device_, std::min(window_bytes_, layout_.bytes)));
      ASSIGN_OR_RETURN(buffer.copied, NewEvent(device_, /*timing=*/false));
    }
    absl::Status status = CopyWindows(base);
    // Nothing may read the buffers any more when they go.
    if (hashing_.valid()) {
      const absl::Status hashed = hashing_.get();
      status = status.ok() ? hashed : status;
    }
    const absl::Status copied = device_.driver().StreamSynchronize(stream_.get());
    return status.ok() ? copied : status;
  }

 private:
  struct Buffer {
    PinnedMemory memory;
    Event copied;
    bool in_use = false;

    [[nodiscard]] std::byte* data() const { return static_cast<std::byte*>(memory.get()); }
  };

  absl::Status CopyWindows(DevicePointer base) {
    const Driver& driver = device_.driver();
    for (int64_t start = 0; start < layout_.bytes; start += window_bytes_) {
      Buffer& buffer = buffers_[static_cast<size_t>(start / window_bytes_) % buffers_.size()];
      if (buffer.in_use) {
        RETURN_IF_ERROR(driver.EventSynchronize(buffer.copied.get()));
      }
      const auto bytes = static_cast<size_t>(std::min(window_bytes_, layout_.bytes - start));
      const std::span<std::byte> window(buffer.data(), bytes);
      Fill(start, window);
      RETURN_IF_ERROR(
          driver.MemcpyHtoDAsync(base + static_cast<DevicePointer>(start), buffer.data(), bytes, stream_.get()));
      RETURN_IF_ERROR(driver.EventRecord(buffer.copied.get(), stream_.get()));
      buffer.in_use = true;
      RETURN_IF_ERROR(Hash(start, window));
      if (options_.progress) {
        options_.progress(start + static_cast<int64_t>(bytes), layout_.bytes);
      }
    }
    return absl::OkStatus();
  }

  /// Ends the window before, whose buffer is the next to be filled, and begins this one.
  absl::Status Hash(int64_t start, std::span<const std::byte> window) {
    if (!options_.verify_hashes) {
      return absl::OkStatus();
    }
    if (hashing_.valid()) {
      RETURN_IF_ERROR(hashing_.get());
    }
    hashing_ = std::async(std::launch::async, [this, start, window] { return hashes_.Add(start, window); });
    return absl::OkStatus();
  }

  /// Writes what the device's memory from `start` on shall hold: parts of tensors, zeros between them.
  void Fill(int64_t start, std::span<std::byte> window) {
    const int64_t end = start + static_cast<int64_t>(window.size());
    int64_t filled = start;
    for (; tensor_ < weights_.size() && layout_.offsets[tensor_] < end; ++tensor_) {
      const std::span<const std::byte> tensor = weights_.tensor(tensor_);
      const int64_t from = std::max(start, layout_.offsets[tensor_]);
      const int64_t to = std::min(end, layout_.offsets[tensor_] + static_cast<int64_t>(tensor.size()));
      std::memset(window.data() + (filled - start), 0, static_cast<size_t>(from - filled));
      std::memcpy(window.data() + (from - start), tensor.data() + (from - layout_.offsets[tensor_]),
                  static_cast<size_t>(to - from));
      filled = to;
      if (to == end && to < layout_.offsets[tensor_] + static_cast<int64_t>(tensor.size())) {
        return;  // the rest of it is the next window's
      }
    }
    std::memset(window.data() + (filled - start), 0, static_cast<size_t>(end - filled));
  }

  const CudaDevice& device_;
  const Weights& weights_;
  const WeightLayout& layout_;
  const WeightOptions& options_;
  int64_t window_bytes_;
  Stream stream_;
  std::array<Buffer, 2> buffers_;
  StreamedHashes hashes_;
  std::future<absl::Status> hashing_;
  size_t tensor_ = 0;  // the first that isn't copied to its end
};

}  // namespace

absl::Status UploadWeights(const CudaDevice& device, const Weights& weights, const WeightLayout& layout,
                           DevicePointer base, const WeightOptions& options, int64_t window_bytes) {
  return Uploader(device, weights, layout, options, window_bytes).Run(base);
}

}  // namespace dejavu::cuda
