#include "codegen/cuda/Nvrtc.h"

#include <dlfcn.h>

#include <cstdlib>
#include <vector>

#include "codegen/cuda/KernelHeaders.h"

namespace dejavu {
namespace {

// The types of nvrtc.h, which is not needed to build.
using Program = struct _nvrtcProgram*;
using Result = int;

// Every function that is used: return type, name, parameters.
#define DEJAVU_NVRTC_FUNCTIONS(X)                                                                             \
  X(const char*, GetErrorString, (Result))                                                                    \
  X(Result, CreateProgram, (Program*, const char*, const char*, int, const char* const*, const char* const*)) \
  X(Result, CompileProgram, (Program, int, const char* const*))                                               \
  X(Result, DestroyProgram, (Program*))                                                                       \
  X(Result, GetProgramLogSize, (Program, size_t*))                                                            \
  X(Result, GetProgramLog, (Program, char*))                                                                  \
  X(Result, GetCUBINSize, (Program, size_t*))                                                                 \
  X(Result, GetCUBIN, (Program, char*))                                                                       \
  X(Result, GetPTXSize, (Program, size_t*))                                                                   \
  X(Result, GetPTX, (Program, char*))

struct Nvrtc {
#define DEJAVU_NVRTC_MEMBER(type, name, parameters) type(*name) parameters = nullptr;
  DEJAVU_NVRTC_FUNCTIONS(DEJAVU_NVRTC_MEMBER)
#undef DEJAVU_NVRTC_MEMBER
};

constexpr const char* kInstall =
    "compiling for cuda needs NVRTC, which no GPU is needed for: install the CUDA toolkit 12 or 13 (or only its "
    "package "
    "cuda-nvrtc), or set CUDA_HOME to its folder";

std::vector<std::string> Candidates() {
  const std::vector<std::string> names = {"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"};
  std::vector<std::string> candidates;
  // A toolkit that is named goes before what happens to be installed.
  if (const char* home = std::getenv("CUDA_HOME"); home != nullptr && *home != '\0') {
    for (const std::string& name : names) {
      candidates.push_back(absl::StrCat(home, "/lib64/", name));
    }
  }
  candidates.insert(candidates.end(), names.begin(), names.end());
  for (const std::string& name : names) {
    candidates.push_back("/usr/local/cuda/lib64/" + name);
  }
  return candidates;
}

absl::StatusOr<Nvrtc> Load() {
  void* library = nullptr;
  for (const std::string& candidate : Candidates()) {
    library = dlopen(candidate.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library != nullptr) {
      break;
    }
  }
  if (library == nullptr) {
    return UserError(kInstall);
  }
  Nvrtc nvrtc;
#define DEJAVU_NVRTC_FIND(type, name, parameters)                                             \
  nvrtc.name = reinterpret_cast<type(*) parameters>(dlsym(library, "nvrtc" #name));           \
  if (nvrtc.name == nullptr) {                                                                \
    return UserError("this NVRTC is too old: it has no function nvrtc" #name "; ", kInstall); \
  }
  DEJAVU_NVRTC_FUNCTIONS(DEJAVU_NVRTC_FIND)
#undef DEJAVU_NVRTC_FIND
  return nvrtc;
}

/// The library stays loaded: unloading compilers is asking for trouble.
const absl::StatusOr<Nvrtc>& Library() {
  static const absl::StatusOr<Nvrtc> library = Load();
  return library;
}

/// One compilation.
class Compilation {
 public:
  explicit Compilation(const Nvrtc& nvrtc) : nvrtc_(nvrtc) {}
  Compilation(const Compilation&) = delete;
  Compilation& operator=(const Compilation&) = delete;
  ~Compilation() {
    if (program_ != nullptr) {
      nvrtc_.DestroyProgram(&program_);
    }
  }

  absl::Status Compile(const std::string& source, const std::vector<std::string>& options) {
    std::vector<const char*> names;
    std::vector<const char*> texts;
    for (const KernelHeader& header : KernelHeaders()) {
      names.push_back(header.name);
      texts.push_back(header.text);
    }
    RETURN_IF_ERROR(
        Check("nvrtcCreateProgram", nvrtc_.CreateProgram(&program_, source.c_str(), "kernels.cu",
                                                         static_cast<int>(names.size()), texts.data(), names.data())));
    std::vector<const char*> words;
    for (const std::string& option : options) {
      words.push_back(option.c_str());
    }
    const Result result = nvrtc_.CompileProgram(program_, static_cast<int>(words.size()), words.data());
    if (result != 0) {
      absl::StatusOr<std::string> log = Get(nvrtc_.GetProgramLogSize, nvrtc_.GetProgramLog);
      return BugError("NVRTC refuses the CUDA source that was generated (", nvrtc_.GetErrorString(result), "):\n",
                      log.ok() ? *log : "");
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> Cubin() { return Get(nvrtc_.GetCUBINSize, nvrtc_.GetCUBIN); }
  absl::StatusOr<std::string> Ptx() { return Get(nvrtc_.GetPTXSize, nvrtc_.GetPTX); }

 private:
  absl::Status Check(std::string_view function, Result result) const {
    return result == 0 ? absl::OkStatus() : BugError(std::string(function), " failed: ", nvrtc_.GetErrorString(result));
  }

  absl::StatusOr<std::string> Get(Result (*size)(Program, size_t*), Result (*get)(Program, char*)) const {
    size_t bytes = 0;
    RETURN_IF_ERROR(Check("nvrtc", size(program_, &bytes)));
    std::string text(bytes, '\0');
    RETURN_IF_ERROR(Check("nvrtc", get(program_, text.data())));
    return text;
  }

  const Nvrtc& nvrtc_;
  Program program_ = nullptr;
};

}  // namespace

absl::Status CheckNvrtc() { return Library().status(); }

absl::StatusOr<std::string> CompileCuda(const std::string& source, std::string_view isa, CudaOutput output) {
  RETURN_IF_ERROR(CheckNvrtc());
  const bool ptx = output == CudaOutput::kPtx;
  // sm_90 makes machine code, compute_90 PTX. What the proof of certified_test asks of the arithmetic is spelled out.
  const std::string number(isa.substr(isa.find('_') + 1));
  const std::vector<std::string> options = {absl::StrCat("--gpu-architecture=", ptx ? "compute_" : "sm_", number),
                                            "--std=c++20", "--ftz=false", "--prec-div=true", "--prec-sqrt=true"};
  Compilation compilation(*Library());
  RETURN_IF_ERROR(compilation.Compile(source, options));
  if (!ptx) {
    return compilation.Cubin();
  }
  ASSIGN_OR_RETURN(std::string text, compilation.Ptx());
  // The size counts the final zero.
  text.resize(text.find_last_not_of('\0') + 1);
  return text;
}

}  // namespace dejavu
