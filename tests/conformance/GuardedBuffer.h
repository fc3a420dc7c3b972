// Memory with an unreadable page at each end: sanitizers do not see emitted code, the page table does.
#ifndef DEJAVU_TESTS_CONFORMANCE_GUARDEDBUFFER_H_
#define DEJAVU_TESTS_CONFORMANCE_GUARDEDBUFFER_H_

#include <cstddef>
#include <vector>

namespace dejavu::testing {

/// Which end of the buffer touches its guard page.
enum class Placement { kStart, kEnd };

/// A buffer of exactly the given size; access outside of it faults at the touching end. At kStart it is aligned to a
/// page, at kEnd only as its size allows.
class GuardedBuffer {
 public:
  GuardedBuffer(const std::vector<std::byte>& content, Placement placement);
  GuardedBuffer(GuardedBuffer&& other) noexcept;
  GuardedBuffer& operator=(GuardedBuffer&&) = delete;
  GuardedBuffer(const GuardedBuffer&) = delete;
  ~GuardedBuffer();
  [[nodiscard]] std::byte* data() const { return data_; }
  [[nodiscard]] std::vector<std::byte> Content() const { return {data_, data_ + size_}; }

 private:
  std::byte* mapping_;
  size_t mapped_bytes_;
  std::byte* data_;
  size_t size_;
};

}  // namespace dejavu::testing

#endif  // DEJAVU_TESTS_CONFORMANCE_GUARDEDBUFFER_H_
