#include "runtime/cpu/HostBuffer.h"

#include <sys/mman.h>

#include <utility>

#include "ir/base/Status.h"

namespace dejavu {

absl::StatusOr<HostBuffer> HostBuffer::Allocate(size_t bytes, const std::string& purpose) {
  if (bytes == 0) {
    return HostBuffer();
  }
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) {
    return UserError("not enough memory for ", purpose, ", which needs ", (bytes + 999'999) / 1'000'000, " MB");
  }
  return HostBuffer(static_cast<std::byte*>(data), bytes);
}

HostBuffer::HostBuffer(HostBuffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

HostBuffer& HostBuffer::operator=(HostBuffer&& other) noexcept {
  if (this != &other) {
    Free();
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

HostBuffer::~HostBuffer() { Free(); }

void HostBuffer::Free() {
  if (data_ != nullptr) {
    munmap(data_, size_);
  }
}

}  // namespace dejavu
