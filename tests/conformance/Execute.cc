#include "tests/conformance/Execute.h"

#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>

#include "absl/strings/str_cat.h"

namespace dejavu::testing {

LoadedKernels::LoadedKernels(const std::vector<std::byte>& object) : file_(memfd_create("kernels.so", MFD_CLOEXEC)) {
  // The file stays open as long as its code is loaded: dlopen takes an equal path for the same object.
  if (file_ >= 0 && write(file_, object.data(), object.size()) == static_cast<ssize_t>(object.size())) {
    handle_ = dlopen(absl::StrCat("/proc/self/fd/", file_).c_str(), RTLD_NOW | RTLD_LOCAL);
  }
}

LoadedKernels::~LoadedKernels() {
  if (handle_ != nullptr) {
    dlclose(handle_);
  }
  if (file_ >= 0) {
    close(file_);
  }
}

LoadedKernels::Function LoadedKernels::Find(const std::string& symbol) const {
  return handle_ == nullptr ? nullptr : reinterpret_cast<Function>(dlsym(handle_, symbol.c_str()));
}

std::vector<Argument> Call(LoadedKernels::Function kernel, const Problem& problem, int threads, Placement placement) {
  std::vector<GuardedBuffer> buffers;
  std::vector<void*> pointers;
  for (const Argument& argument : problem.args) {
    buffers.emplace_back(argument.bytes, placement);
    const bool shared = argument.same_as >= 0;
    pointers.push_back(!argument.present ? nullptr
                       : shared          ? pointers[static_cast<size_t>(argument.same_as)]
                                         : buffers.back().data());
  }
  const std::array<int64_t, 1 + kMaxSequences> dims = DimsOf(problem);
  for (int thread = threads - 1; thread >= 0; --thread) {
    kernel(pointers.data(), dims.data(), thread, threads);
  }
  std::vector<Argument> after = problem.args;
  for (size_t i = 0; i < after.size(); ++i) {
    const int same_as = after[i].same_as;
    after[i].bytes = buffers[same_as >= 0 ? static_cast<size_t>(same_as) : i].Content();
  }
  return after;
}

}  // namespace dejavu::testing
