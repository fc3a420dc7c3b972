#include "tests/conformance/CudaCall.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "ir/base/Status.h"
#include "runtime/cuda/CudaObjects.h"

namespace dejavu::testing {
namespace {

using cuda::DevicePointer;

constexpr int64_t kGuardBytes = 4096;
constexpr int64_t kAlignment = 256;
constexpr std::byte kGuard{0xFF};

/// A piece of the call's memory.
struct Piece {
  std::string name;
  int64_t offset = 0;
  std::vector<std::byte> bytes;
};

/// All memory of a call: pieces with guards around them.
class Memory {
 public:
  explicit Memory(int64_t shift) : shift_(shift) {}

  size_t Add(std::string name, std::vector<std::byte> bytes) {
    const int64_t offset = (end_ + kGuardBytes + kAlignment - 1) / kAlignment * kAlignment + shift_;
    end_ = offset + static_cast<int64_t>(bytes.size());
    pieces_.push_back({std::move(name), offset, std::move(bytes)});
    return pieces_.size() - 1;
  }

  [[nodiscard]] int64_t offset(size_t piece) const { return pieces_[piece].offset; }
  [[nodiscard]] int64_t size() const { return end_ + kGuardBytes; }

  void Write(std::byte* image) const {
    std::fill_n(image, size(), kGuard);
    for (const Piece& piece : pieces_) {
      std::copy(piece.bytes.begin(), piece.bytes.end(), image + piece.offset);
    }
  }

  /// Reads the pieces back and checks what lies between them.
  absl::Status Read(const std::byte* image) {
    int64_t end = 0;
    for (Piece& piece : pieces_) {
      const auto* guards_end = image + piece.offset;
      const auto* changed = std::find_if(image + end, guards_end, [](std::byte byte) { return byte != kGuard; });
      if (changed != guards_end) {
        return BugError("something was written ", guards_end - changed, " bytes in front of ", piece.name, " and ",
                        changed - image - end, " behind what is there");
      }
      end = piece.offset + static_cast<int64_t>(piece.bytes.size());
      std::copy(guards_end, image + end, piece.bytes.begin());
    }
    const auto* changed = std::find_if(image + end, image + size(), [](std::byte byte) { return byte != kGuard; });
    return changed == image + size()
               ? absl::OkStatus()
               : BugError("something was written ", changed - image - end, " bytes behind ", pieces_.back().name);
  }

  [[nodiscard]] const std::vector<std::byte>& bytes(size_t piece) const { return pieces_[piece].bytes; }

 private:
  int64_t shift_;
  int64_t end_ = 0;
  std::vector<Piece> pieces_;
};

std::vector<std::byte> ScratchBytes(int64_t count) {
  std::vector<std::byte> bytes(static_cast<size_t>(std::max(count, kScratchCounterBytes)), kGuard);
  std::fill_n(bytes.begin(), kScratchCounterBytes, std::byte{0});
  return bytes;
}

template <typename T>
std::vector<std::byte> BytesOf(const T& value) {
  std::vector<std::byte> bytes(sizeof(value));
  std::memcpy(bytes.data(), &value, sizeof(value));
  return bytes;
}

/// Runs `call` on memory that holds `image`, and brings it back.
absl::Status Run(const cuda::CudaDevice& device, const CudaCall& call, const std::vector<int64_t>& params,
                 std::byte* image, int64_t bytes) {
  const cuda::Driver& driver = device.driver();
  ASSIGN_OR_RETURN(const cuda::DeviceMemory memory, cuda::AllocateDevice(device, bytes, "a test"));
  ASSIGN_OR_RETURN(const cuda::Stream stream, cuda::NewStream(device));
  std::vector<DevicePointer> addresses;
  for (const int64_t offset : params) {
    addresses.push_back(offset < 0 ? 0 : memory.get() + static_cast<DevicePointer>(offset));
  }
  size_t param_bytes = addresses.size() * sizeof(DevicePointer);
  std::array<void*, 5> extra = {reinterpret_cast<void*>(cuda::kLaunchParamBuffer), addresses.data(),
                                reinterpret_cast<void*>(cuda::kLaunchParamBufferSize), &param_bytes, nullptr};
  RETURN_IF_ERROR(driver.MemcpyHtoDAsync(memory.get(), image, static_cast<size_t>(bytes), stream.get()));
  for (int64_t i = 0; i < call.launches; ++i) {
    RETURN_IF_ERROR(driver.LaunchKernel(call.function, static_cast<uint32_t>(call.blocks), 1U, 1U,
                                        static_cast<uint32_t>(call.grid.threads), 1U, 1U,
                                        static_cast<uint32_t>(call.grid.shared), stream.get(), nullptr, extra.data()));
  }
  RETURN_IF_ERROR(driver.MemcpyDtoHAsync(image, memory.get(), static_cast<size_t>(bytes), stream.get()));
  return driver.StreamSynchronize(stream.get());
}

}  // namespace

absl::StatusOr<std::vector<Argument>> CallOnDevice(const cuda::CudaDevice& device, const CudaCall& call,
                                                   const Problem& problem) {
  const cuda::CudaDevice::Scope scope(device);
  RETURN_IF_ERROR(scope.status());
  Memory memory(call.shift);
  std::vector<size_t> pieces;
  std::vector<int64_t> params;
  for (size_t i = 0; i < problem.args.size(); ++i) {
    const Argument& argument = problem.args[i];
    pieces.push_back(argument.same_as >= 0 ? pieces[static_cast<size_t>(argument.same_as)]
                                           : memory.Add(absl::StrCat("argument ", i), argument.bytes));
    params.push_back(argument.present ? memory.offset(pieces.back()) : -1);
  }
  const std::array<int64_t, 1 + kMaxSequences> dims = DimsOf(problem);
  params.push_back(memory.offset(memory.Add("the dims", BytesOf(dims))));
  size_t scratch = 0;
  if (call.grid.scratch > 0) {
    scratch = memory.Add("the scratch memory", ScratchBytes(call.grid.scratch));
    params.push_back(memory.offset(scratch));
  }
  ASSIGN_OR_RETURN(const cuda::PinnedMemory pinned, cuda::AllocatePinned(device, memory.size()));
  auto* image = static_cast<std::byte*>(pinned.get());
  memory.Write(image);
  RETURN_IF_ERROR(Run(device, call, params, image, memory.size()));
  RETURN_IF_ERROR(memory.Read(image));
  const auto is_zero = [](std::byte byte) { return byte == std::byte{0}; };
  if (call.grid.scratch > 0 &&
      !std::all_of(memory.bytes(scratch).begin(), memory.bytes(scratch).begin() + kScratchCounterBytes, is_zero)) {
    return BugError("the counters of the scratch memory are not zero after the launch");
  }
  std::vector<Argument> after = problem.args;
  for (size_t i = 0; i < after.size(); ++i) {
    after[i].bytes = memory.bytes(pieces[i]);
  }
  return after;
}

}  // namespace dejavu::testing
