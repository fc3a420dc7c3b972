#include "runtime/cuda/CudaDevice.h"

#include <array>

#include "ir/base/Status.h"

namespace dejavu::cuda {
namespace {

constexpr int kMaxNameBytes = 256;

absl::Status CheckNumber(int number, int count) {
  if (count == 0) {
    return ToStatus(kErrorNoDevice, "cuDeviceGetCount");
  }
  if (number >= count) {
    return UserError(
        "there is no device cuda:", number, "; the driver finds ",
        count == 1 ? std::string("one GPU, cuda:0") : absl::StrCat(count, " GPUs, cuda:0 to cuda:", count - 1));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::shared_ptr<const CudaDevice>> CudaDevice::Open(const Driver& driver, int number) {
  std::shared_ptr<CudaDevice> device(new CudaDevice(driver));
  RETURN_IF_ERROR(device->Init(number));
  return std::shared_ptr<const CudaDevice>(std::move(device));
}

absl::Status CudaDevice::Init(int number) {
  int32_t count = 0;
  RETURN_IF_ERROR(driver_.DeviceGetCount(&count));
  RETURN_IF_ERROR(CheckNumber(number, count));
  RETURN_IF_ERROR(driver_.DeviceGet(&device_, number));
  std::array<char, kMaxNameBytes> name = {};
  RETURN_IF_ERROR(driver_.DeviceGetName(name.data(), kMaxNameBytes - 1, device_));
  name_ = name.data();
  RETURN_IF_ERROR(driver_.DeviceGetAttribute(&multiprocessors_, kMultiprocessorCount, device_));
  RETURN_IF_ERROR(driver_.DeviceGetAttribute(&major_, kCapabilityMajor, device_));
  RETURN_IF_ERROR(driver_.DeviceGetAttribute(&minor_, kCapabilityMinor, device_));
  RETURN_IF_ERROR(driver_.DeviceGetAttribute(&max_shared_bytes_, kMaxSharedMemoryPerBlock, device_));
  return driver_.DevicePrimaryCtxRetain(&context_, device_);
}

CudaDevice::~CudaDevice() {
  if (context_ != nullptr) {
    driver_.DevicePrimaryCtxRelease(device_).IgnoreError();
  }
}

std::vector<std::string> CudaDevice::Isas() const {
  std::vector<std::string> isas;
  for (int minor = minor_; minor >= 0; --minor) {
    isas.push_back(absl::StrCat("sm_", major_, minor));
  }
  return isas;
}

absl::StatusOr<CudaDevice::Memory> CudaDevice::QueryMemory() const {
  const Scope scope(*this);
  RETURN_IF_ERROR(scope.status());
  size_t free = 0;
  size_t total = 0;
  RETURN_IF_ERROR(driver_.MemGetInfo(&free, &total));
  return Memory{static_cast<int64_t>(free), static_cast<int64_t>(total)};
}

CudaDevice::Scope::Scope(const CudaDevice& device)
    : driver_(device.driver()), status_(device.driver().CtxPushCurrent(device.context())) {}

CudaDevice::Scope::~Scope() {
  if (status_.ok()) {
    ContextHandle popped = nullptr;
    driver_.CtxPopCurrent(&popped).IgnoreError();
  }
}

}  // namespace dejavu::cuda
