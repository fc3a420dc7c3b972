#include "tests/unit/cuda/FakeDriver.h"

#include <dlfcn.h>
#include <elf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/unit/cuda/FakeDevice.h"

namespace dejavu::cuda::fake {
namespace {

constexpr Result kInvalidImage = 200;
constexpr size_t kAlignment = 256;

// A shared object ends with its section headers.
size_t ImageBytes(const void* image) {
  Elf64_Ehdr header;
  std::memcpy(&header, image, sizeof(header));
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) {
    return 0;
  }
  return header.e_shoff + size_t{header.e_shnum} * header.e_shentsize;
}

}  // namespace
}  // namespace dejavu::cuda::fake

using namespace dejavu::cuda;        // NOLINT(google-build-using-namespace): the whole file is the fake
using namespace dejavu::cuda::fake;  // NOLINT(google-build-using-namespace)

extern "C" {

State* FakeCudaState() { return &device().state; }

void FakeCudaReset() {
  std::map<std::string, int64_t> live = device().state.live;
  device().state = State();
  device().state.live = std::move(live);
  device().fault = 0;
}

void FakeCudaEnqueue(StreamHandle stream, void (*work)(void*), void* argument) {
  stream->pending.emplace_back([=] { work(argument); });
}

void FakeCudaCheck(const void* address, size_t bytes, const char* function) {
  CheckDevice(reinterpret_cast<DevicePointer>(address), bytes, function);
}

Result cuDriverGetVersion(int32_t* version) {
  *version = device().state.version;
  return kSuccess;
}

Result cuInit(uint32_t) {
  FAKE_ENTER(Enter, "cuInit");
  return entered != kSuccess ? entered : device().state.devices == 0 ? kErrorNoDevice : kSuccess;
}

Result cuDeviceGetCount(int32_t* count) {
  FAKE_ENTER(Enter, "cuDeviceGetCount");
  *count = device().state.devices;
  return entered;
}

Result cuDeviceGet(DeviceNumber* number, int32_t ordinal) {
  FAKE_ENTER(Enter, "cuDeviceGet");
  *number = ordinal;
  return entered;
}

Result cuDeviceGetName(char* name, int32_t bytes, DeviceNumber) {
  FAKE_ENTER(Enter, "cuDeviceGetName");
  std::snprintf(name, static_cast<size_t>(bytes), "Fake GPU");
  return entered;
}

Result cuDeviceGetAttribute(int32_t* value, int32_t attribute, DeviceNumber) {
  FAKE_ENTER(Enter, "cuDeviceGetAttribute");
  const State& state = device().state;
  *value = attribute == kMultiprocessorCount ? state.multiprocessors
           : attribute == kCapabilityMajor   ? state.major
           : attribute == kCapabilityMinor   ? state.minor
                                             : 232448;
  return entered;
}

Result cuDevicePrimaryCtxRetain(ContextHandle* context, DeviceNumber) {
  FAKE_ENTER(Enter, "cuDevicePrimaryCtxRetain");
  if (entered == kSuccess) {
    *context = &device().context;
    ++device().state.live["context"];
  }
  return entered;
}

Result cuDevicePrimaryCtxRelease_v2(DeviceNumber) {
  FAKE_ENTER(Enter, "cuDevicePrimaryCtxRelease_v2");
  --device().state.live["context"];
  return entered;
}

Result cuCtxPushCurrent_v2(ContextHandle context) {
  FAKE_ENTER(Enter, "cuCtxPushCurrent_v2");
  if (context != &device().context) {
    Violate("cuCtxPushCurrent of no context");
  }
  ContextDepth() += entered == kSuccess ? 1 : 0;
  return entered;
}

Result cuCtxPopCurrent_v2(ContextHandle* context) {
  FAKE_ENTER(EnterInContext, "cuCtxPopCurrent_v2");
  *context = &device().context;
  --ContextDepth();
  return entered;
}

Result cuMemGetInfo_v2(size_t* free, size_t* total) {
  FAKE_CALL("cuMemGetInfo_v2");
  *total = device().state.total_bytes;
  *free = *total - std::min(*total, device().used_bytes);
  return kSuccess;
}

Result cuMemAlloc_v2(DevicePointer* address, size_t bytes) {
  FAKE_CALL("cuMemAlloc_v2");
  if (bytes == 0) {
    return kInvalidValue;
  }
  if (device().used_bytes + bytes > device().state.total_bytes) {
    return kErrorOutOfMemory;
  }
  auto* block =
      static_cast<std::byte*>(std::aligned_alloc(kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment));
  std::memset(block, 0xFF, bytes);
  device().memory[block] = bytes;
  device().used_bytes += bytes;
  ++device().state.live["device memory"];
  *address = reinterpret_cast<DevicePointer>(block);
  return kSuccess;
}

Result cuMemFree_v2(DevicePointer address) {
  FAKE_ENTER(Enter, "cuMemFree_v2");
  const auto found = device().memory.find(static_cast<std::byte*>(Pointer(address)));
  if (found == device().memory.end()) {
    Violate("cuMemFree of what was not allocated");
    return kInvalidValue;
  }
  for (StreamTag* stream : device().streams) {
    if (!stream->pending.empty() && device().fault == 0) {
      Violate("cuMemFree while work is pending");
    }
  }
  device().used_bytes -= found->second;
  std::free(found->first);
  device().memory.erase(found);
  --device().state.live["device memory"];
  return entered;
}

Result cuMemHostAlloc(void** address, size_t bytes, uint32_t) {
  FAKE_CALL("cuMemHostAlloc");
  *address = std::aligned_alloc(kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment);
  std::memset(*address, 0xFF, bytes);
  device().pinned[static_cast<std::byte*>(*address)] = bytes;
  ++device().state.live["pinned memory"];
  return kSuccess;
}

Result cuMemFreeHost(void* address) {
  FAKE_ENTER(Enter, "cuMemFreeHost");
  if (device().pinned.erase(static_cast<std::byte*>(address)) == 0) {
    Violate("cuMemFreeHost of what was not allocated");
    return kInvalidValue;
  }
  std::free(address);
  --device().state.live["pinned memory"];
  return entered;
}

Result cuMemcpyHtoDAsync_v2(DevicePointer to, const void* from, size_t bytes, StreamHandle stream) {
  FAKE_CALL("cuMemcpyHtoDAsync_v2");
  CheckDevice(to, bytes, "cuMemcpyHtoDAsync");
  CheckPinned(from, bytes, "cuMemcpyHtoDAsync");
  stream->pending.emplace_back([=] { CopyBytes(Pointer(to), from, bytes); });
  return kSuccess;
}

Result cuMemcpyDtoHAsync_v2(void* to, DevicePointer from, size_t bytes, StreamHandle stream) {
  FAKE_CALL("cuMemcpyDtoHAsync_v2");
  CheckDevice(from, bytes, "cuMemcpyDtoHAsync");
  CheckPinned(to, bytes, "cuMemcpyDtoHAsync");
  stream->pending.emplace_back([=] { CopyBytes(to, Pointer(from), bytes); });
  return kSuccess;
}

Result cuMemcpyDtoDAsync_v2(DevicePointer to, DevicePointer from, size_t bytes, StreamHandle stream) {
  FAKE_CALL("cuMemcpyDtoDAsync_v2");
  CheckDevice(from, bytes, "cuMemcpyDtoDAsync");
  CheckDevice(to, bytes, "cuMemcpyDtoDAsync");
  stream->pending.emplace_back([=] { CopyBytes(Pointer(to), Pointer(from), bytes); });
  return kSuccess;
}

Result cuMemsetD8Async(DevicePointer address, unsigned char value, size_t bytes, StreamHandle stream) {
  FAKE_CALL("cuMemsetD8Async");
  CheckDevice(address, bytes, "cuMemsetD8Async");
  stream->pending.emplace_back([=] { std::memset(Pointer(address), value, bytes); });
  return kSuccess;
}

Result cuModuleLoadData(ModuleHandle* module, const void* image) {
  FAKE_CALL("cuModuleLoadData");
  const size_t bytes = ImageBytes(image);
  if (bytes == 0) {
    return kInvalidImage;
  }
  auto loaded = std::make_unique<ModuleTag>();
  loaded->file = memfd_create("fake.cubin", MFD_CLOEXEC);
  if (write(loaded->file, image, bytes) == static_cast<ssize_t>(bytes)) {
    loaded->handle = dlopen(("/proc/self/fd/" + std::to_string(loaded->file)).c_str(), RTLD_NOW | RTLD_LOCAL);
  }
  if (loaded->handle == nullptr) {
    close(loaded->file);
    return kInvalidImage;
  }
  *module = loaded.release();
  ++device().state.live["module"];
  return kSuccess;
}

Result cuModuleUnload(ModuleHandle module) {
  FAKE_ENTER(Enter, "cuModuleUnload");
  dlclose(module->handle);
  close(module->file);
  Release("module", module);
  return entered;
}

Result cuModuleGetFunction(FunctionHandle* function, ModuleHandle module, const char* name) {
  FAKE_CALL("cuModuleGetFunction");
  void* code = dlsym(module->handle, name);
  const auto number = [&](const char* suffix) {
    const void* value = dlsym(module->handle, (std::string(name) + suffix).c_str());
    return value == nullptr ? size_t{0} : static_cast<size_t>(*static_cast<const int*>(value));
  };
  const FunctionTag found = {name, code, number("_params"), number("_struct")};
  if (code == nullptr || found.params + found.struct_bytes == 0) {
    return kErrorNotFound;
  }
  auto& entry = module->functions[name];
  entry = std::make_unique<FunctionTag>(found);
  *function = entry.get();
  return kSuccess;
}

Result cuFuncSetAttribute(FunctionHandle, int32_t, int32_t) {
  FAKE_CALL("cuFuncSetAttribute");
  return kSuccess;
}

Result cuLaunchKernel(FunctionHandle function, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t,
                      StreamHandle stream, void** kernel_params, void** extra) {
  FAKE_CALL("cuLaunchKernel");
  if (function->struct_bytes > 0 && kernel_params != nullptr && extra == nullptr) {
    const auto* value = static_cast<const std::byte*>(kernel_params[0]);
    std::vector<std::byte> copy(value, value + function->struct_bytes);
    stream->pending.emplace_back([function, copy]() mutable { CallKernel(*function, {copy.data()}); });
    return kSuccess;
  }
  std::vector<void*> params;
  if (!ReadParams(*function, extra, params)) {
    return kInvalidValue;
  }
  stream->pending.emplace_back([function, params] { CallKernel(*function, params); });
  return kSuccess;
}

}  // extern "C"
