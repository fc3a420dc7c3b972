#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "ir/base/FileUtil.h"
#include "tests/unit/base/TestFiles.h"

namespace dejavu {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(FileUtilTest, ReadsWhatWasWritten) {
  const TempFolder folder;
  const std::string text("a\0b\r\n\xff", 6);
  ASSERT_TRUE(WriteFileAtomically(folder.File("f"), text).ok());
  const absl::StatusOr<std::string> read = ReadTextFile(folder.File("f"));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, text);
}

TEST(FileUtilTest, ReadsAnEmptyFile) {
  const TempFolder folder;
  WriteBytes(folder.File("f"), "");
  EXPECT_EQ(*ReadTextFile(folder.File("f")), "");
}

TEST(FileUtilTest, RefusesAFileAboveTheLimit) {
  const TempFolder folder;
  WriteBytes(folder.File("f"), "12345");
  EXPECT_TRUE(ReadTextFile(folder.File("f"), 5).ok());
  const absl::Status status = ReadTextFile(folder.File("f"), 4).status();
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr(folder.File("f")), HasSubstr("has 5 bytes")));
}

TEST(FileUtilTest, MissingFileAndDirectoryAreNamed) {
  const TempFolder folder;
  EXPECT_THAT(std::string(ReadTextFile("/no/such").status().message()), HasSubstr("/no/such: cannot open"));
  EXPECT_THAT(std::string(ReadTextFile(folder.path()).status().message()), HasSubstr("is a directory"));
}

TEST(FileUtilTest, AtomicWriteReplacesAndLeavesNothingElse) {
  const TempFolder folder;
  ASSERT_TRUE(WriteFileAtomically(folder.File("f"), "old and long").ok());
  ASSERT_TRUE(WriteFileAtomically(folder.File("f"), "new").ok());
  EXPECT_EQ(ReadBytes(folder.File("f")), "new");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST(FileUtilTest, AtomicWriteOntoADirectoryFailsAndLeavesNothing) {
  const TempFolder folder;
  std::filesystem::create_directory(folder.File("d"));
  EXPECT_FALSE(WriteFileAtomically(folder.File("d"), "x").ok());
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST(FileUtilTest, AtomicWriteIntoAMissingFolderIsNamed) {
  EXPECT_THAT(std::string(WriteFileAtomically("/no/such/f", "x").message()), HasSubstr("/no/such/f"));
}

TEST(FileUtilTest, UnfinishedFileIsRemoved) {
  const TempFolder folder;
  {
    absl::StatusOr<OutputFile> file = OutputFile::Create(folder.File("f"));
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE(file->Write("half").ok());
    const OutputFile moved = *std::move(file);
    EXPECT_FALSE(folder.empty());
  }
  EXPECT_TRUE(folder.empty());
}

TEST(FileUtilTest, FullDiskSaysSoAndKeepsTheDevice) {
  struct stat info = {};
  if (stat("/dev/full", &info) != 0 || !S_ISCHR(info.st_mode)) {
    GTEST_SKIP() << "this system has no /dev/full";
  }
  {
    absl::StatusOr<OutputFile> file = OutputFile::Create("/dev/full");
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_THAT(std::string(file->Write("x").message()),
                AllOf(HasSubstr("/dev/full: cannot write"), HasSubstr("No space left"), HasSubstr("free some space")));
  }
  EXPECT_EQ(stat("/dev/full", &info), 0);
}

TEST(FileUtilTest, FileAboveTheProcessLimitSaysSoAndLeavesNothing) {
  const TempFolder folder;
  signal(SIGXFSZ, SIG_IGN);
  rlimit old_limit = {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old_limit), 0);
  rlimit limit = old_limit;
  limit.rlim_cur = 1000;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  const absl::Status status = WriteFileAtomically(folder.File("f"), std::string(2000, 'x'));
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &old_limit), 0);
  signal(SIGXFSZ, SIG_DFL);
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr(folder.File("f")), HasSubstr("ulimit -f")));
  EXPECT_TRUE(folder.empty());
}

TEST(FileUtilTest, SyncsDirectories) {
  const TempFolder folder;
  EXPECT_TRUE(SyncDirectory(folder.path()).ok());
  EXPECT_THAT(std::string(SyncDirectory("/no/such").message()), HasSubstr("/no/such"));
}

TEST(FileUtilTest, ParentDirectories) {
  EXPECT_EQ(ParentDirectory("a/b"), "a");
  EXPECT_EQ(ParentDirectory("/a/b/c"), "/a/b");
  EXPECT_EQ(ParentDirectory("a/b/"), "a");
  EXPECT_EQ(ParentDirectory("a//b"), "a");
  EXPECT_EQ(ParentDirectory("b"), ".");
  EXPECT_EQ(ParentDirectory(""), ".");
  EXPECT_EQ(ParentDirectory("/b"), "/");
  EXPECT_EQ(ParentDirectory("/"), "/");
}

}  // namespace
}  // namespace dejavu
