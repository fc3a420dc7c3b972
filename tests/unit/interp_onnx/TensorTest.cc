#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ir/interp/Tensor.h"

namespace dejavu {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string ErrorOf(const absl::Status& status) { return std::string(status.message()); }

TEST(Tensor, CountsElementsAndRefusesWhatOverflows) {
  EXPECT_EQ(*CheckedNumElements({}), 1);
  EXPECT_EQ(*CheckedNumElements({2, 3}), 6);
  EXPECT_EQ(*CheckedNumElements({5, 0}), 0);
  EXPECT_EQ(*CheckedNumElements({int64_t{1} << 31}), int64_t{1} << 31);
  EXPECT_THAT(ErrorOf(CheckedNumElements({int64_t{1} << 31, 2}).status()), HasSubstr("[2147483648, 2]"));
  EXPECT_THAT(ErrorOf(CheckedNumElements({int64_t{1} << 40, 0, int64_t{1} << 40}).status()), HasSubstr("2^31"));
  EXPECT_THAT(ErrorOf(CheckedNumElements({3, -1}).status()), HasSubstr("negative"));
  EXPECT_FALSE(Tensor::Zeros(DType::kI64, {kMaxKnownElements + 1}).ok());
}

TEST(Tensor, UnknownTensorsWithoutElementsAreKnown) {
  EXPECT_FALSE(Tensor::Unknown(DType::kF32, {2, 3}).known);
  EXPECT_TRUE(Tensor::Unknown(DType::kF32, {2, 0}).known);
  EXPECT_FALSE(Tensor::Unknown(DType::kF32, {}).known);
}

TEST(Tensor, LiteralsRoundTrip) {
  const TensorLiteral literal{DType::kF32, {2}, {1.5, -2}, {}};
  EXPECT_EQ(Tensor::FromLiteral(literal).ToLiteral(), literal);
  EXPECT_EQ(Tensor::Vector({4, 5}).dims, std::vector<int64_t>{2});
  EXPECT_EQ(Tensor::Scalar(7).At(0), 7);
}

TEST(Tensor, BroadcastsAsNumpyDoes) {
  EXPECT_THAT(*BroadcastDims({2, 1, 4}, {3, 1}), ElementsAre(2, 3, 4));
  EXPECT_THAT(*BroadcastDims({}, {3}), ElementsAre(3));
  EXPECT_THAT(*BroadcastDims({0, 3}, {1, 3}), ElementsAre(0, 3));
  EXPECT_THAT(ErrorOf(BroadcastDims({2, 3}, {4}).status()), HasSubstr("[2, 3] and [4] do not broadcast"));
  EXPECT_FALSE(BroadcastDims({1 << 20, 1}, {1, 1 << 20}).ok());
  EXPECT_THAT(BroadcastStrides({3, 1}, {2, 3, 4}), ElementsAre(0, 1, 0));
}

TEST(Tensor, VisitsIndicesInRowMajorOrder) {
  std::vector<int64_t> offsets;
  ForEachIndex<1>({2, 3}, {{{1, 2}}}, [&](const std::array<int64_t, 1>& at) { offsets.push_back(at[0]); });
  EXPECT_THAT(offsets, ElementsAre(0, 2, 4, 1, 3, 5));
  int visits = 0;
  ForEachIndex<1>({}, {{{}}}, [&](const std::array<int64_t, 1>&) { ++visits; });
  EXPECT_EQ(visits, 1);
  ForEachIndex<1>({3, 0}, {{{1, 1}}}, [&](const std::array<int64_t, 1>&) { ++visits; });
  EXPECT_EQ(visits, 1);
}

TEST(Tensor, RoundsToDTypes) {
  EXPECT_EQ(RoundToDType(0.1, DType::kF64), 0.1);
  EXPECT_EQ(RoundToDType(0.1, DType::kF32), static_cast<double>(0.1F));
  EXPECT_EQ(RoundToDType(2049, DType::kF16), 2048);
  EXPECT_EQ(RoundToDType(257, DType::kBF16), 256);
  EXPECT_EQ(WrapToDType(300, DType::kU8), 44);
  EXPECT_EQ(WrapToDType(128, DType::kI8), -128);
  EXPECT_EQ(WrapToDType(-3, DType::kBool), 1);
}

}  // namespace
}  // namespace dejavu
