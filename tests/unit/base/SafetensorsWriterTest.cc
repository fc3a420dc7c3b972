#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "ir/base/Safetensors.h"
#include "tests/unit/base/TestFiles.h"

namespace dejavu {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(SafetensorsWriterTest, WritesWhatTheReaderReads) {
  const TempFolder folder;
  const std::string a(100, 'a');
  const std::string c(128, 'c');
  absl::StatusOr<SafetensorsWriter> writer =
      SafetensorsWriter::Create(folder.File("w"), {{"z.first", DType::kF16, {5, 10}},
                                                   {"none", DType::kF32, {0, 7}},
                                                   {"a.last", DType::kI8, {128}},
                                                   {"end", DType::kF32, {0}}});
  ASSERT_TRUE(writer.ok()) << writer.status();
  ASSERT_TRUE(writer->Append(AsBytes(a).first(1)).ok());
  ASSERT_TRUE(writer->Append(AsBytes(a).subspan(1)).ok());
  ASSERT_TRUE(writer->Append(AsBytes(c)).ok());
  const absl::StatusOr<std::vector<uint64_t>> hashes = writer->Finish();
  ASSERT_TRUE(hashes.ok()) << hashes.status();
  EXPECT_THAT(*hashes, ElementsAre(Hash64(a), Hash64(""), Hash64(c), Hash64("")));

  const absl::StatusOr<Safetensors> file = Safetensors::Open(folder.File("w"));
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_THAT(file->Find("z.first")->dims, ElementsAre(5, 10));
  EXPECT_EQ(Hash64({file->Find("z.first")->data, 100}), Hash64(a));
  EXPECT_EQ(Hash64({file->Find("a.last")->data, 128}), Hash64(c));
  EXPECT_EQ(file->Find("none")->bytes, 0U);
  const TensorView* padding = file->Find("__pad__.0");
  ASSERT_NE(padding, nullptr);
  EXPECT_EQ(padding->bytes, 28U);
  EXPECT_TRUE(IsPaddingTensor(padding->name));
  for (const TensorView& tensor : file->tensors()) {
    EXPECT_TRUE(IsPaddingTensor(tensor.name) || reinterpret_cast<uintptr_t>(tensor.data) % 64 == 0) << tensor.name;
  }
}

TEST(SafetensorsWriterTest, WritesAFileWithoutTensors) {
  const TempFolder folder;
  absl::StatusOr<SafetensorsWriter> writer = SafetensorsWriter::Create(folder.File("w"), {});
  ASSERT_TRUE(writer.ok()) << writer.status();
  ASSERT_TRUE(writer->Finish().ok());
  EXPECT_TRUE(Safetensors::Open(folder.File("w"))->tensors().empty());
}

TEST(SafetensorsWriterTest, AlignsWhateverTheHeadersLength) {
  const TempFolder folder;
  for (size_t length = 1; length < 70; ++length) {
    absl::StatusOr<SafetensorsWriter> writer =
        SafetensorsWriter::Create(folder.File("w"), {{std::string(length, 'n'), DType::kU8, {1}}});
    ASSERT_TRUE(writer.ok()) << writer.status();
    ASSERT_TRUE(writer->Append(AsBytes("x")).ok());
    ASSERT_TRUE(writer->Finish().ok());
    const absl::StatusOr<Safetensors> file = Safetensors::Open(folder.File("w"));
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_EQ(reinterpret_cast<uintptr_t>(file->tensors()[0].data) % 64, 0U) << length;
  }
}

TEST(SafetensorsWriterTest, RefusesSpecsThatCannotBeWritten) {
  const TempFolder folder;
  const auto error = [&](std::vector<TensorSpec> specs) {
    const absl::Status status = SafetensorsWriter::Create(folder.File("w"), std::move(specs)).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << status;
    return std::string(status.message());
  };
  EXPECT_THAT(error({{"a", DType::kU8, {1}}, {"a", DType::kU8, {1}}}), HasSubstr("'a'"));
  EXPECT_THAT(error({{"__pad__.0", DType::kU8, {1}}}), HasSubstr("reserved"));
  EXPECT_THAT(error({{"i", DType::kIndex, {1}}}), HasSubstr("dtype"));
  EXPECT_THAT(error({{"n", DType::kU8, {-1}}}), HasSubstr("negative"));
  EXPECT_THAT(error({{"n", DType::kF32, {int64_t{1} << 62}}}), HasSubstr("too large"));
  EXPECT_THAT(error({{"m", DType::kU8, {int64_t{1} << 62}},
                     {"n", DType::kU8, {int64_t{1} << 62}},
                     {"o", DType::kU8, {int64_t{1} << 62}},
                     {"p", DType::kU8, {int64_t{1} << 62}}}),
              HasSubstr("too large"));
  EXPECT_THAT(error({{"\xff", DType::kU8, {1}}}), HasSubstr("UTF-8"));
  EXPECT_TRUE(folder.empty());
}

TEST(SafetensorsWriterTest, RefusesTooManyAndTooFewBytesAndLeavesNothing) {
  const TempFolder folder;
  {
    absl::StatusOr<SafetensorsWriter> writer =
        SafetensorsWriter::Create(folder.File("w"), {{"a", DType::kU8, {4}}, {"b", DType::kU8, {4}}});
    ASSERT_TRUE(writer.ok()) << writer.status();
    EXPECT_THAT(std::string(writer->Append(AsBytes("12345")).message()), HasSubstr("tensor 'a'"));
    ASSERT_TRUE(writer->Append(AsBytes("1234")).ok());
    ASSERT_TRUE(writer->Append(AsBytes("12")).ok());
    EXPECT_THAT(std::string(writer->Finish().status().message()), HasSubstr("tensor 'b' is incomplete"));
    ASSERT_TRUE(writer->Append(AsBytes("34")).ok());
    EXPECT_THAT(std::string(writer->Append(AsBytes("5")).message()), HasSubstr("all tensors"));
  }
  EXPECT_TRUE(folder.empty());
}

TEST(SafetensorsWriterTest, FullDiskIsAnErrorThatNamesTheFile) {
  struct stat info = {};
  if (stat("/dev/full", &info) != 0 || !S_ISCHR(info.st_mode)) {
    GTEST_SKIP() << "this system has no /dev/full";
  }
  const absl::Status status = SafetensorsWriter::Create("/dev/full", {{"a", DType::kU8, {1}}}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("/dev/full"), HasSubstr("No space left")));
}

}  // namespace
}  // namespace dejavu
