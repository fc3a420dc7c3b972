// A folder for one test's files.
#ifndef DEJAVU_TESTS_UNIT_RUNTIME_TEMPFOLDER_H_
#define DEJAVU_TESTS_UNIT_RUNTIME_TEMPFOLDER_H_

#include <stdlib.h>

#include <filesystem>
#include <string>

namespace dejavu {

/// Created empty, removed with all its contents.
class TempFolder {
 public:
  TempFolder() : path_((std::filesystem::temp_directory_path() / "dejavu-XXXXXX").string()) {
    if (mkdtemp(path_.data()) == nullptr) {
      abort();
    }
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  ~TempFolder() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace dejavu

#endif  // DEJAVU_TESTS_UNIT_RUNTIME_TEMPFOLDER_H_
