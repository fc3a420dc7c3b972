#include "tests/conformance/GuardedBuffer.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace dejavu::testing {

GuardedBuffer::GuardedBuffer(const std::vector<std::byte>& content, Placement placement) : size_(content.size()) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t inner = (size_ + page - 1) / page * page;
  mapped_bytes_ = inner + 2 * page;
  void* mapping = mmap(nullptr, mapped_bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping == MAP_FAILED ||
      (inner > 0 && mprotect(static_cast<std::byte*>(mapping) + page, inner, PROT_READ | PROT_WRITE) != 0)) {
    std::abort();
  }
  mapping_ = static_cast<std::byte*>(mapping);
  data_ = mapping_ + page + (placement == Placement::kEnd ? inner - size_ : 0);
  std::copy(content.begin(), content.end(), data_);
}

GuardedBuffer::GuardedBuffer(GuardedBuffer&& other) noexcept
    : mapping_(std::exchange(other.mapping_, nullptr)),
      mapped_bytes_(other.mapped_bytes_),
      data_(other.data_),
      size_(other.size_) {}

GuardedBuffer::~GuardedBuffer() {
  if (mapping_ != nullptr) {
    munmap(mapping_, mapped_bytes_);
  }
}

}  // namespace dejavu::testing
