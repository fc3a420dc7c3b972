// The CUDA target's architectures on the first GPU of this machine. Kernels come from conformance-<isa>.cubin beside
// the program, where conformance_compile_cases wrote them, or from NVRTC, one by one.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "codegen/cuda/CudaBackend.h"
#include "runtime/cuda/CudaObjects.h"
#include "tests/conformance/CudaCall.h"
#include "tests/conformance/TestDevice.h"

namespace dejavu::testing {
namespace {

// What a kernel surely gets without asking: 48 KiB, less what it declares itself.
constexpr int64_t kPlainSharedBytes = 32 * 1024;

/// The GPU, opened once; never given back, as the driver may be gone when the program ends.
const absl::StatusOr<std::shared_ptr<const cuda::CudaDevice>>& Gpu() {
  static const auto* device = new absl::StatusOr<std::shared_ptr<const cuda::CudaDevice>>([]() {
    const absl::StatusOr<const cuda::Driver*> driver = cuda::Driver::Get();
    return driver.ok() ? cuda::CudaDevice::Open(**driver, 0)
                       : absl::StatusOr<std::shared_ptr<const cuda::CudaDevice>>(driver.status());
  }());
  return *device;
}

/// Set when a kernel faulted: nothing runs in this process any more.
bool& Lost() {
  static bool lost = false;
  return lost;
}

absl::StatusOr<cuda::Module> LoadModule(const cuda::CudaDevice& device, const void* image) {
  cuda::ModuleHandle module = nullptr;
  RETURN_IF_ERROR(device.driver().ModuleLoadData(&module, image));
  return cuda::Module(device, module);
}

std::vector<char> ReadBeside(const std::string& name) {
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  std::ifstream file(program.parent_path() / name, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class CudaTestKernel final : public TestKernel {
 public:
  CudaTestKernel(const cuda::CudaDevice& device, cuda::Module module, const CudaCall& call)
      : device_(device), module_(std::move(module)) {
    const auto add = [&](const char* name, bool same_bits, const CudaCall& other) {
      variants_.push_back({name, same_bits});
      calls_.push_back(other);
    };
    add("as planned", true, call);
    CudaCall twice = call;
    twice.launches = 2;
    add("twice on the same memory", true, twice);
    CudaCall shifted = call;
    shifted.shift = 64;
    add("buffers at odd multiples of 64", true, shifted);
    for (const int64_t blocks : {int64_t{1}, int64_t{3}}) {
      if (call.grid.per_sm > 0 && blocks < call.blocks) {
        CudaCall fewer = call;
        fewer.blocks = blocks;
        add(blocks == 1 ? "one block" : "three blocks", false, fewer);
      }
    }
  }

  [[nodiscard]] std::vector<Variant> variants() const override { return variants_; }

  [[nodiscard]] absl::StatusOr<std::vector<Argument>> Call(const Problem& problem, size_t variant) const override {
    absl::StatusOr<std::vector<Argument>> after = CallOnDevice(device_, calls_[variant], problem);
    Lost() = Lost() || !device_.QueryMemory().ok();
    return after;
  }

 private:
  const cuda::CudaDevice& device_;
  cuda::Module module_;  // empty where the device's own has the kernel
  std::vector<Variant> variants_;
  std::vector<CudaCall> calls_;
};

class CudaTestDevice final : public TestDevice {
 public:
  explicit CudaTestDevice(std::string isa) : isa_(std::move(isa)) {}

  [[nodiscard]] std::string name() const override { return isa_; }

  [[nodiscard]] std::string WhyNot() const override {
    if (!Gpu().ok()) {
      return absl::StrCat("no CUDA driver or GPU: ", Gpu().status().message());
    }
    if (Lost()) {
      return "an earlier test broke the device; run this one alone, with --gtest_filter";
    }
    const std::vector<std::string> isas = (*Gpu())->Isas();
    return std::find(isas.begin(), isas.end(), isa_) != isas.end()
               ? ""
               : absl::StrCat((*Gpu())->name(), " runs ", absl::StrJoin(isas, ", "), ", not ", isa_);
  }

  [[nodiscard]] const KernelTable& kernels() const override { return CudaKernels(); }

  [[nodiscard]] bool Has(const KernelSpec& spec) const override {
    return CudaKernels().Grid(spec, isa_).value().has_value();
  }

  [[nodiscard]] absl::StatusOr<std::unique_ptr<TestKernel>> Compile(const KernelSpec& spec) const override {
    const cuda::CudaDevice& device = **Gpu();
    const cuda::CudaDevice::Scope scope(device);
    RETURN_IF_ERROR(scope.status());
    ASSIGN_OR_RETURN(const std::string symbol, CudaKernels().Symbol(spec));
    ASSIGN_OR_RETURN(const std::optional<LaunchGrid> grid, CudaKernels().Grid(spec, isa_));
    CudaCall call;
    call.grid = *grid;
    const int64_t most = grid->per_sm * device.multiprocessors();
    call.blocks = grid->per_sm == 0 ? grid->blocks : std::min(grid->blocks, most);
    cuda::Module module;
    if (!device.driver().ModuleGetFunction(&call.function, Precompiled(), symbol.c_str()).ok()) {
      ASSIGN_OR_RETURN(const CompiledCode code, CudaBackend().Compile({spec}, isa_));
      ASSIGN_OR_RETURN(module, LoadModule(device, code.bytes.data()));
      RETURN_IF_ERROR(device.driver().ModuleGetFunction(&call.function, module.get(), symbol.c_str()));
    }
    if (grid->shared > kPlainSharedBytes) {
      RETURN_IF_ERROR(device.driver().FuncSetAttribute(call.function, cuda::kMaxDynamicSharedBytes,
                                                       static_cast<int32_t>(grid->shared)));
    }
    return std::make_unique<CudaTestKernel>(device, std::move(module), call);
  }

  // The product with log2(e) is rounded, and the argument of the device's 2^x with it.
  [[nodiscard]] double ExpError(double x) const override { return 0x1p-22 + x * 0x1p-23; }

 private:
  /// The module beside the program, or null.
  [[nodiscard]] cuda::ModuleHandle Precompiled() const {
    static auto* modules = new std::map<std::string, cuda::Module>;
    const auto [entry, is_new] = modules->try_emplace(isa_);
    if (is_new) {
      const std::vector<char> image = ReadBeside(absl::StrCat("conformance-", isa_, ".cubin"));
      if (!image.empty()) {
        absl::StatusOr<cuda::Module> module = LoadModule(**Gpu(), image.data());
        entry->second = module.ok() ? *std::move(module) : cuda::Module();
      }
    }
    return entry->second.get();
  }

  std::string isa_;
};

}  // namespace

const std::vector<const TestDevice*>& TestDevices() {
  static const std::vector<CudaTestDevice> devices = [] {
    std::vector<CudaTestDevice> all;
    for (const std::string& isa : CudaBackend().isas()) {
      all.emplace_back(isa);
    }
    return all;
  }();
  static const std::vector<const TestDevice*> pointers = [] {
    std::vector<const TestDevice*> all;
    for (const CudaTestDevice& device : devices) {
      all.push_back(&device);
    }
    return all;
  }();
  return pointers;
}

}  // namespace dejavu::testing
