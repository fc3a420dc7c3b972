#include "tests/support/SharedModels.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "absl/strings/str_cat.h"

namespace dejavu {

namespace fs = std::filesystem;

SharedModel::SharedModel(const std::string& name) {
  const char* variable = std::getenv("DEJAVU_SHARED");
  const std::string folder =
      absl::StrCat(variable != nullptr ? variable : DEJAVU_SOURCE_DIR "/../shared", "/models/", name);
  if (!fs::exists(folder + "/model.safetensors.xz")) {
    missing_ = absl::StrCat(name, " is not beside this project; set DEJAVU_SHARED to the folder that holds models/");
    return;
  }
  path_ = absl::StrCat(testing::TempDir(), "/shared-", getpid(), "-", name);
  fs::create_directories(path_);
  for (const char* file : {"config.json", "expected.npz"}) {
    fs::copy(fs::path(folder) / file, path_, fs::copy_options::overwrite_existing);
  }
  const std::string unpack =
      absl::StrCat("xz -dc '", folder, "/model.safetensors.xz' > '", path_, "/model.safetensors'");
  if (std::system(unpack.c_str()) != 0) {
    missing_ = absl::StrCat("could not unpack ", name, ", for which xz is needed");
  }
}

SharedModel::~SharedModel() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

}  // namespace dejavu
