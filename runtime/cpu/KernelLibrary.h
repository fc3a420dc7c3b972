// Object code of an artifact, loaded into this process.
#ifndef DEJAVU_RUNTIME_CPU_KERNELLIBRARY_H_
#define DEJAVU_RUNTIME_CPU_KERNELLIBRARY_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace dejavu {

/// An emitted kernel. `args`: operands, then results, null where an optional operand is absent. `dims`: tokens of this
/// call, then tokens already in the cache. Every thread of the team calls it and does its own share; a barrier follows.
using KernelFunction = void (*)(void* const* args, const int64_t* dims, int32_t thread, int32_t threads);

/// A loaded code file; unloaded when the object dies, after which no kernel of it may run. Threads may share it.
class KernelLibrary {
 public:
  /// Loads the shared object `path`. One that the system's loader refuses is a user error that names it.
  [[nodiscard]] static absl::StatusOr<KernelLibrary> Load(const std::string& path);

  /// The kernel called `symbol`; its absence is a user error that names file and symbol.
  [[nodiscard]] absl::StatusOr<KernelFunction> Find(const std::string& symbol) const;

 private:
  struct Close {
    void operator()(void* handle) const;
  };
  KernelLibrary(std::string path, void* handle) : path_(std::move(path)), handle_(handle) {}

  std::string path_;
  std::unique_ptr<void, Close> handle_;
};

}  // namespace dejavu

#endif  // DEJAVU_RUNTIME_CPU_KERNELLIBRARY_H_
