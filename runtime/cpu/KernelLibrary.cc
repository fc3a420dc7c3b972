#include "runtime/cpu/KernelLibrary.h"

#include <dlfcn.h>

#include "ir/base/Status.h"

namespace dejavu {
namespace {

std::string LoaderError() {
  const char* message = dlerror();
  return message != nullptr ? message : "unknown reason";
}

}  // namespace

void KernelLibrary::Close::operator()(void* handle) const { dlclose(handle); }

absl::StatusOr<KernelLibrary> KernelLibrary::Load(const std::string& path) {
  // A name without a slash would be searched for in the system's folders.
  const std::string name = path.find('/') == std::string::npos ? "./" + path : path;
  void* handle = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    return UserError(path, ": cannot be loaded: ", LoaderError(), "; build the artifact again on this machine");
  }
  return KernelLibrary(path, handle);
}

absl::StatusOr<KernelFunction> KernelLibrary::Find(const std::string& symbol) const {
  void* address = dlsym(handle_.get(), symbol.c_str());
  if (address == nullptr) {
    return UserError(path_, ": has no kernel '", symbol, "', which the plan launches");
  }
  return reinterpret_cast<KernelFunction>(address);
}

}  // namespace dejavu
