#include "codegen/cpu/Link.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <string>
#include <system_error>

#include "lld/Common/Driver.h"
#include "llvm/Support/raw_ostream.h"

LLD_HAS_DRIVER(elf)

namespace dejavu {
namespace {

namespace fs = std::filesystem;

// A new folder that is removed with all that is in it.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::error_code error;
    std::string name = (fs::temp_directory_path(error) / "dejavu-XXXXXX").string();
    if (!error && mkdtemp(name.data()) != nullptr) {
      path_ = name;
    }
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    if (!path_.empty()) {
      fs::remove_all(path_, ignored);
    }
  }
  // Empty if it could not be created.
  [[nodiscard]] const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

absl::Status WriteFile(const fs::path& path, absl::Span<const char> bytes) {
  std::ofstream file(path, std::ios::binary);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  if (!file) {
    return UserError("cannot write the temporary file ", path.string(), ": ", std::strerror(errno),
                     "; set TMPDIR to a folder with space");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::byte>> ReadFile(const fs::path& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  const std::streamoff size = file ? static_cast<std::streamoff>(file.tellg()) : -1;
  if (size < 0) {
    return UserError("cannot read the temporary file ", path.string());
  }
  std::vector<std::byte> bytes(static_cast<size_t>(size));
  file.seekg(0);
  file.read(reinterpret_cast<char*>(bytes.data()), size);
  if (!file) {
    return UserError("cannot read the temporary file ", path.string());
  }
  return bytes;
}

absl::Status RunLinker(const std::vector<std::string>& arguments) {
  static std::mutex mutex;
  static bool can_run = true;
  const std::lock_guard<std::mutex> lock(mutex);
  if (!can_run) {
    return BugError("the linker crashed before and cannot run again in this process");
  }
  std::vector<const char*> pointers;
  for (const std::string& argument : arguments) {
    pointers.push_back(argument.c_str());
  }
  std::string messages;
  llvm::raw_string_ostream stream(messages);
  const lld::DriverDef driver = {lld::Gnu, &lld::elf::link};
  const lld::Result result = lld::lldMain(pointers, stream, stream, driver);
  can_run = result.canRunAgain;
  if (result.retCode != 0) {
    return BugError("linking the kernels failed: ", messages);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<std::byte>> LinkSharedObject(absl::Span<const char> object, const CpuTarget& isa) {
  const TemporaryFolder folder;
  if (folder.path().empty()) {
    return UserError("cannot create a temporary folder; set TMPDIR to a folder that can be written");
  }
  const fs::path input = folder.path() / "kernels.o";
  const fs::path output = folder.path() / "kernels.so";
  RETURN_IF_ERROR(WriteFile(input, object));
  RETURN_IF_ERROR(RunLinker({"ld.lld", "-shared", "-m", std::string(isa.emulation), "--no-undefined", "--threads=1",
                             "--build-id=none", "--hash-style=gnu", "-z", "noexecstack", "-z", "now", "-s", "-o",
                             output.string(), input.string()}));
  return ReadFile(output);
}

}  // namespace dejavu
