// Large zeroed buffers in the host's memory.
#ifndef DEJAVU_RUNTIME_CPU_HOSTBUFFER_H_
#define DEJAVU_RUNTIME_CPU_HOSTBUFFER_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"

namespace dejavu {

/// Page-aligned memory, zero at first and given by the system page by page when touched. Not in huge pages: a KV cache
/// would then take all its memory with the first token.
class HostBuffer {
 public:
  /// `purpose` names the buffer in the error that a failed allocation gives. No bytes give a null buffer.
  [[nodiscard]] static absl::StatusOr<HostBuffer> Allocate(size_t bytes, const std::string& purpose);

  HostBuffer() = default;
  HostBuffer(HostBuffer&& other) noexcept;
  HostBuffer& operator=(HostBuffer&& other) noexcept;
  ~HostBuffer();

  [[nodiscard]] std::byte* data() const { return data_; }
  [[nodiscard]] size_t size() const { return size_; }

 private:
  HostBuffer(std::byte* data, size_t size) : data_(data), size_(size) {}
  void Free();

  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace dejavu

#endif  // DEJAVU_RUNTIME_CPU_HOSTBUFFER_H_
