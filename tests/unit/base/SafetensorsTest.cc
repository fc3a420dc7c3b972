// Tests the reader on well-formed and hostile files. The writer has its own tests.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ir/base/Safetensors.h"
#include "tests/unit/base/TestFiles.h"

namespace dejavu {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string FileBytes(const std::string& header, const std::string& data) {
  std::string length(8, '\0');
  for (size_t i = 0; i < 8; ++i) {
    length[i] = static_cast<char>(header.size() >> (8 * i));
  }
  return length + header + data;
}

std::string ErrorOfBytes(const std::string& bytes) {
  const absl::Status status = Safetensors::Parse(AsBytes(bytes), "w.safetensors").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("w.safetensors: "));
  return std::string(status.message());
}

std::string ErrorOf(const std::string& header, const std::string& data = "") {
  return ErrorOfBytes(FileBytes(header, data));
}

TEST(SafetensorsTest, ReadsTensorsInFileOrderAndByName) {
  const std::string bytes = FileBytes(R"({"__metadata__":{"format":"pt"},)"
                                      R"("b":{"dtype":"I8","shape":[3],"data_offsets":[8,11]},)"
                                      R"("a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]}}   )",
                                      "01234567xyz");
  const absl::StatusOr<Safetensors> file = Safetensors::Parse(AsBytes(bytes), "w");
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_EQ(file->tensors().size(), 2U);
  EXPECT_EQ(file->tensors()[0].name, "a");
  EXPECT_THAT(file->tensors()[0].dims, ElementsAre(2, 1));
  const TensorView* b = file->Find("b");
  ASSERT_NE(b, nullptr);
  EXPECT_EQ(b->dtype, DType::kI8);
  EXPECT_EQ(b->bytes, 3U);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(b->data), 3), "xyz");
  EXPECT_EQ(file->Find("c"), nullptr);
  EXPECT_EQ(file->metadata().at("format"), "pt");
}

TEST(SafetensorsTest, GetNamesTheMissingTensor) {
  const std::string bytes = FileBytes("{}", "");
  const absl::StatusOr<Safetensors> file = Safetensors::Parse(AsBytes(bytes), "w");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_THAT(std::string(file->Get("fc1.weight").status().message()),
              AllOf(HasSubstr("w: "), HasSubstr("fc1.weight")));
}

TEST(SafetensorsTest, ReadsScalarsAndTensorsWithoutElements) {
  const std::string bytes = FileBytes(R"({"none":{"dtype":"F32","shape":[4,0],"data_offsets":[2,2]},)"
                                      R"("one":{"dtype":"BF16","shape":[],"data_offsets":[0,2]},)"
                                      R"("start":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})",
                                      "xy");
  const absl::StatusOr<Safetensors> file = Safetensors::Parse(AsBytes(bytes), "w");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->Find("one")->bytes, 2U);
  EXPECT_TRUE(file->Find("one")->dims.empty());
  EXPECT_EQ(file->Find("none")->bytes, 0U);
}

TEST(SafetensorsTest, KnowsEveryDType) {
  const std::vector<std::pair<std::string, size_t>> dtypes = {{"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2},
                                                              {"I64", 8}, {"I32", 4}, {"I16", 2}, {"I8", 1},
                                                              {"U8", 1},  {"BOOL", 1}};
  for (const auto& [name, size] : dtypes) {
    const std::string bytes =
        FileBytes(R"({"t":{"dtype":")" + name + R"(","shape":[1],"data_offsets":[0,)" + std::to_string(size) + "]}}",
                  std::string(size, 'x'));
    const absl::StatusOr<Safetensors> file = Safetensors::Parse(AsBytes(bytes), "w");
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_EQ(SafetensorsDTypeName(file->tensors()[0].dtype), name);
  }
  EXPECT_EQ(SafetensorsDTypeName(DType::kIndex), std::nullopt);
}

TEST(SafetensorsTest, OpenNamesTheFile) {
  const TempFolder folder;
  EXPECT_THAT(std::string(Safetensors::Open("/no/such").status().message()), HasSubstr("/no/such"));
  WriteBytes(folder.File("w"), "short");
  EXPECT_THAT(std::string(Safetensors::Open(folder.File("w")).status().message()), HasSubstr(folder.File("w")));
}

TEST(SafetensorsTest, ViewsOfAnOpenedFileSurviveMoves) {
  const TempFolder folder;
  WriteBytes(folder.File("w"), FileBytes(R"({"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "x"));
  absl::StatusOr<Safetensors> file = Safetensors::Open(folder.File("w"));
  ASSERT_TRUE(file.ok()) << file.status();
  const std::byte* data = file->Find("t")->data;
  const Safetensors moved = *std::move(file);
  EXPECT_EQ(moved.Find("t")->data, data);
  EXPECT_EQ(std::to_integer<char>(*data), 'x');
}

TEST(SafetensorsTest, RefusesBadHeaderLengths) {
  EXPECT_THAT(ErrorOfBytes(""), HasSubstr("too short"));
  EXPECT_THAT(ErrorOfBytes("1234567"), HasSubstr("too short"));
  EXPECT_THAT(ErrorOfBytes(std::string(8, '\0')), HasSubstr("not a JSON object"));
  EXPECT_THAT(ErrorOfBytes(std::string(8, '\xff') + "{}"), HasSubstr("header claims 18446744073709551615"));
  EXPECT_THAT(ErrorOfBytes(FileBytes("{}", "").substr(0, 9)), HasSubstr("truncated"));
  EXPECT_THAT(ErrorOfBytes(std::string("\x01\xe1\xf5\x05\0\0\0\0", 8) + std::string(100'000'001, ' ')),
              HasSubstr("header claims 100000001"));
}

TEST(SafetensorsTest, RefusesWhatIsNotTheFormatsJson) {
  EXPECT_THAT(ErrorOf("[]"), HasSubstr("not a JSON object"));
  EXPECT_THAT(ErrorOf(" {}"), HasSubstr("not a JSON object"));
  EXPECT_THAT(ErrorOf("{"), HasSubstr("not valid JSON"));
  EXPECT_THAT(ErrorOf("{} x"), HasSubstr("not valid JSON"));
  EXPECT_THAT(ErrorOf("{\"\xff\":1}"), HasSubstr("not valid JSON"));
  EXPECT_THAT(ErrorOf(R"({"t":7})"), HasSubstr("unexpected a number"));
  EXPECT_THAT(ErrorOf(R"({"t":null})"), HasSubstr("null"));
  EXPECT_THAT(ErrorOf(R"({"t":[1]})"), HasSubstr("an array"));
  EXPECT_THAT(ErrorOf(R"({"t":{"dtype":["F32"]}})"), HasSubstr("an array in 'dtype'"));
  EXPECT_THAT(ErrorOf(R"({"t":{"dtype":{}}})"), HasSubstr("an object"));
  EXPECT_THAT(ErrorOf(R"({"t":{"shape":"2"}})"), HasSubstr("a string"));
  EXPECT_THAT(ErrorOf(R"({"t":{"shape":[true]}})"), HasSubstr("a boolean"));
  EXPECT_THAT(ErrorOf(R"({"t":{"shape":[[1]]}})"), HasSubstr("an array"));
  EXPECT_THAT(ErrorOf(R"({"__metadata__":{"a":1}})"), HasSubstr("a number"));
  EXPECT_THAT(ErrorOf(R"({"__metadata__":{"a":{}}})"), HasSubstr("an object"));
}

TEST(SafetensorsTest, RefusesDeepNesting) {
  EXPECT_THAT(ErrorOf(R"({"t":)" + std::string(1'000'000, '[')), HasSubstr("an array"));
}

TEST(SafetensorsTest, RefusesDuplicates) {
  const std::string tensor = R"("t":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
  EXPECT_THAT(ErrorOf("{" + tensor + "," + tensor + "}"), HasSubstr("tensor 't' appears twice"));
  EXPECT_THAT(ErrorOf(R"({"__metadata__":{},"__metadata__":{}})"), HasSubstr("__metadata__ twice"));
  EXPECT_THAT(ErrorOf(R"({"__metadata__":{"k":"1","k":"2"}})"), HasSubstr("'k' twice"));
  EXPECT_THAT(ErrorOf(R"({"t":{"dtype":"U8","dtype":"U8"}})"), HasSubstr("'dtype' appears twice"));
}

TEST(SafetensorsTest, RefusesMissingAndUnknownFields) {
  EXPECT_THAT(ErrorOf(R"({"t":{}})"), HasSubstr("'dtype' is missing"));
  EXPECT_THAT(ErrorOf(R"({"t":{"dtype":"U8","data_offsets":[0,0]}})"), HasSubstr("'shape' is missing"));
  EXPECT_THAT(ErrorOf(R"({"t":{"dtype":"U8","shape":[0]}})"), HasSubstr("'data_offsets' is missing"));
  EXPECT_THAT(ErrorOf(R"({"t":{"dtype":"U8","shape":[0],"data_offsets":[0]}})"), HasSubstr("must have two numbers"));
  EXPECT_THAT(ErrorOf(R"({"t":{"dtype":"U8","shape":[0],"data_offsets":[0,0,0]}})"), HasSubstr("more than 2 numbers"));
  EXPECT_THAT(ErrorOf(R"({"t":{"color":"red"}})"), HasSubstr("unknown field 'color'"));
  EXPECT_THAT(ErrorOf(R"({"t":{"dtype":"F8_E4M3","shape":[0],"data_offsets":[0,0]}})"), HasSubstr("dtype 'F8_E4M3'"));
}

TEST(SafetensorsTest, RefusesBadShapes) {
  EXPECT_THAT(ErrorOf(R"({"t":{"dtype":"U8","shape":[-1],"data_offsets":[0,0]}})"), HasSubstr("negative number -1"));
  EXPECT_THAT(ErrorOf(R"({"t":{"dtype":"U8","shape":[1.5],"data_offsets":[0,0]}})"), HasSubstr("1.5"));
  EXPECT_THAT(ErrorOf(R"({"t":{"dtype":"U8","shape":[18446744073709551616],"data_offsets":[0,0]}})"),
              HasSubstr("not a 64-bit whole number"));
  EXPECT_THAT(ErrorOf(R"({"t":{"dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,0]}})"),
              HasSubstr("too large"));
  EXPECT_THAT(ErrorOf(R"({"t":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})"),
              HasSubstr("too large"));
  // 2^62 elements of four bytes wrap to zero bytes.
  EXPECT_THAT(ErrorOf(R"({"t":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,0]}})"),
              HasSubstr("too large"));
  std::string shape = "1";
  for (int i = 0; i < 64; ++i) {
    shape += ",1";
  }
  EXPECT_THAT(ErrorOf(R"({"t":{"dtype":"U8","shape":[)" + shape + R"(],"data_offsets":[0,1]}})", "x"),
              HasSubstr("more than 64 numbers"));
}

TEST(SafetensorsTest, RefusesBadOffsets) {
  const auto with_offsets = [](const std::string& offsets, const std::string& data) {
    return ErrorOf(R"({"t":{"dtype":"U8","shape":[4],"data_offsets":[)" + offsets + "]}}", data);
  };
  EXPECT_THAT(with_offsets("0,4", "123"), AllOf(HasSubstr("tensor 't'"), HasSubstr("truncated")));
  EXPECT_THAT(with_offsets("4,0", "1234"), HasSubstr("do not lie within"));
  EXPECT_THAT(with_offsets("18446744073709551612,18446744073709551615", "1234"), HasSubstr("do not lie within"));
  EXPECT_THAT(with_offsets("-4,0", "1234"), HasSubstr("negative"));
  EXPECT_THAT(with_offsets("0,3", "123"), HasSubstr("needs 4 bytes, but data_offsets span 3"));
  EXPECT_THAT(with_offsets("0,4", "12345"), HasSubstr("1 bytes at the end"));
  EXPECT_THAT(with_offsets("1,5", "12345"), HasSubstr("leaves a hole"));
}

TEST(SafetensorsTest, RefusesOverlapsAndHoles) {
  const auto two = [](const std::string& second) {
    return ErrorOf(
        R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":)" +
            second + "}}",
        "123456789");
  };
  EXPECT_THAT(two("[3,7]"), AllOf(HasSubstr("tensor 'b'"), HasSubstr("overlaps")));
  EXPECT_THAT(two("[0,4]"), HasSubstr("overlaps"));
  EXPECT_THAT(two("[5,9]"), HasSubstr("leaves a hole after"));
}

}  // namespace
}  // namespace dejavu
