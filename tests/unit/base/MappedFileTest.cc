#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ir/base/MappedFile.h"
#include "tests/unit/base/TestFiles.h"

namespace dejavu {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string ErrorOf(const std::string& path) {
  const absl::StatusOr<MappedFile> file = MappedFile::Open(path);
  EXPECT_EQ(file.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(file.status().message());
}

TEST(MappedFileTest, ShowsTheBytesOfTheFile) {
  const TempFolder folder;
  WriteBytes(folder.File("a"), "hello");
  const absl::StatusOr<MappedFile> file = MappedFile::Open(folder.File("a"));
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(file->data()), file->size()), "hello");
  EXPECT_EQ(file->path(), folder.File("a"));
}

TEST(MappedFileTest, MovesKeepTheAddressAndEmptyTheSource) {
  const TempFolder folder;
  WriteBytes(folder.File("a"), "aaa");
  WriteBytes(folder.File("b"), "bb");
  MappedFile a = *MappedFile::Open(folder.File("a"));
  const std::byte* address = a.data();
  MappedFile moved = std::move(a);
  EXPECT_EQ(moved.data(), address);
  MappedFile b = *MappedFile::Open(folder.File("b"));
  b = std::move(moved);
  EXPECT_EQ(b.data(), address);
  EXPECT_EQ(b.size(), 3U);
  EXPECT_EQ(moved.data(), nullptr);  // NOLINT(bugprone-use-after-move): the documented state after a move
  EXPECT_EQ(moved.size(), 0U);
}

TEST(MappedFileTest, StaysReadableAfterTheFileIsRemoved) {
  const TempFolder folder;
  WriteBytes(folder.File("a"), "x");
  const MappedFile file = *MappedFile::Open(folder.File("a"));
  std::filesystem::remove(folder.File("a"));
  EXPECT_EQ(std::to_integer<char>(file.data()[0]), 'x');
}

TEST(MappedFileTest, MissingFileIsNamed) {
  EXPECT_THAT(ErrorOf("/no/such/file"), AllOf(HasSubstr("/no/such/file"), HasSubstr("No such file")));
}

TEST(MappedFileTest, DirectoryIsRefused) {
  const TempFolder folder;
  EXPECT_THAT(ErrorOf(folder.path()), AllOf(HasSubstr(folder.path()), HasSubstr("is a directory")));
}

TEST(MappedFileTest, EmptyFileIsRefused) {
  const TempFolder folder;
  WriteBytes(folder.File("a"), "");
  EXPECT_THAT(ErrorOf(folder.File("a")), HasSubstr("is empty"));
}

TEST(MappedFileTest, PipeAndDeviceAreRefusedWithoutWaiting) {
  const TempFolder folder;
  ASSERT_EQ(mkfifo(folder.File("pipe").c_str(), 0600), 0);
  EXPECT_THAT(ErrorOf(folder.File("pipe")), HasSubstr("not a regular file"));
  EXPECT_THAT(ErrorOf("/dev/zero"), HasSubstr("not a regular file"));
}

TEST(MappedFileTest, UnreadableFileIsNamed) {
  const TempFolder folder;
  WriteBytes(folder.File("a"), "x");
  std::filesystem::permissions(folder.File("a"), std::filesystem::perms::none);
  // The superuser may read every file, so the test becomes nobody for a moment.
  const uid_t user = geteuid();
  const uid_t nobody = 65534;
  if (user == 0 && seteuid(nobody) != 0) {
    GTEST_SKIP() << "the superuser can read every file and cannot become another user here";
  }
  const std::string error = ErrorOf(folder.File("a"));
  ASSERT_TRUE(geteuid() == user || seteuid(user) == 0);
  EXPECT_THAT(error, AllOf(HasSubstr(folder.File("a")), HasSubstr("Permission denied")));
}

}  // namespace
}  // namespace dejavu
