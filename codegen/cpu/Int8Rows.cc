#include "codegen/cpu/Int8Rows.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "codegen/cpu/RowBlock.h"
#include "codegen/cpu/VectorOps.h"
#include "ir/base/PredictorRows.h"
#include "llvm/IR/Intrinsics.h"
#include "llvm/IR/IntrinsicsX86.h"

namespace dejavu {

using llvm::FixedVectorType;
using llvm::Value;

namespace {

// Enough rows that rounding x anew for each part is little beside their products.
constexpr int64_t kBlocksOfPart = 16;
// Vectors of a row in work at a time.
constexpr int64_t kUnroll = 4;

}  // namespace

Int8Rows::Int8Rows(KernelBuilder& b, int64_t k, int64_t bits)
    : b_(b),
      ir_(b.ir()),
      k_(k),
      bits_(bits),
      levels_(std::min<int64_t>(32767, std::numeric_limits<int32_t>::max() / (128 * k))),
      n_(b.Scratch(2 * PaddedWidth())) {}

FixedVectorType* Int8Rows::IntVector(unsigned bits, int count) {
  return FixedVectorType::get(ir_.getIntNTy(bits), static_cast<unsigned>(count));
}

Values Int8Rows::RowsOf(Value* block, int64_t rows) {
  return RowsOf(block, rows % kRows == 0 ? nullptr : b_.I64(rows));
}

/// Without `rows`, blocks are whole.
Values Int8Rows::RowsOf(Value* block, Value* rows) {
  Values numbers;
  for (int64_t r = 0; r < kRows; ++r) {
    Value* number = ir_.CreateAdd(ir_.CreateMul(block, b_.I64(kRows)), b_.I64(r));
    if (rows != nullptr) {
      number = ir_.CreateBinaryIntrinsic(llvm::Intrinsic::smin, number, ir_.CreateSub(rows, b_.I64(1)));
    }
    numbers.push_back(number);
  }
  return numbers;
}

void Int8Rows::ForTokens(const Range& blocks, int64_t tokens,
                         llvm::function_ref<void(const Range& part, Value* token)> body) {
  if (tokens == 1) {
    body(blocks, b_.I64(0));
    return;
  }
  b_.For(blocks.begin, blocks.end, kBlocksOfPart, [&](Value* first) {
    Value* last = ir_.CreateAdd(first, b_.I64(kBlocksOfPart));
    last = ir_.CreateBinaryIntrinsic(llvm::Intrinsic::smin, last, blocks.end);
    b_.For(b_.I64(0), b_.I64(tokens), 1, [&](Value* token) { body({first, last}, token); });
  });
}

Value* Int8Rows::LargestBits(Value* x) {
  const auto larger = [&](Value* left, Value* right) {
    return ir_.CreateBinaryIntrinsic(llvm::Intrinsic::umax, left, right);
  };
  const Values zero = {llvm::Constant::getNullValue(IntVector(32, lanes()))};
  const Values bits = ForColumns(b_, k_, zero, [&](Value* column, int count, const Values& carried) {
    Value* values = LoadPadded(b_, b_.At(x, column, 4), DType::kF32, count);
    Value* magnitude = ir_.CreateAnd(ir_.CreateBitCast(values, IntVector(32, lanes())), 0x7FFFFFFF);
    return Values{larger(carried[0], magnitude)};
  });
  return FoldLanes(b_, bits[0], larger);
}

Int8Rows::Input Int8Rows::Quantize(Value* x, Value* largest) {
  Value* exponent = ir_.CreateLShr(largest, 23);
  exponent = ir_.CreateBinaryIntrinsic(llvm::Intrinsic::umax, exponent, ir_.getInt32(1));
  exponent = ir_.CreateBinaryIntrinsic(llvm::Intrinsic::umin, exponent, ir_.getInt32(253));
  Value* down = FloatFromBits(ir_.CreateShl(ir_.CreateSub(ir_.getInt32(254), exponent), 23));
  Value* scaled = ir_.CreateFMul(FloatFromBits(largest), down);
  scaled = ir_.CreateSelect(ir_.CreateICmpEQ(largest, ir_.getInt32(0)), b_.Float(1), scaled);
  llvm::Constant* levels = b_.Float(static_cast<double>(levels_));
  Value* step = ir_.CreateFDiv(scaled, levels);
  Value* inverse = ir_.CreateFDiv(levels, scaled);

  if (PaddedWidth() != k_) {
    const auto count = static_cast<int>(PaddedWidth() - k_);
    ir_.CreateAlignedStore(llvm::Constant::getNullValue(IntVector(16, count)), b_.At(n_, 2 * k_), llvm::Align(2));
  }
  const Values zeros(2, ZeroVector(b_, lanes()));
  const Values squares = ForColumns(b_, k_, zeros, [&](Value* column, int count, const Values& carried) {
    Value* values = ir_.CreateFMul(LoadFloats(b_, b_.At(x, column, 4), DType::kF32, count), Splat(b_, down, count));
    Value* n = ir_.CreateUnaryIntrinsic(llvm::Intrinsic::rint, ir_.CreateFMul(values, Splat(b_, inverse, count)));
    Value* narrow = ir_.CreateTrunc(ir_.CreateFPToSI(n, IntVector(32, count)), IntVector(16, count));
    ir_.CreateAlignedStore(narrow, b_.At(n_, column, 2), llvm::Align(2));
    Value* d = Pad(b_, MulAdd(b_, ir_.CreateFNeg(n), Splat(b_, step, count), values));
    values = Pad(b_, values);
    return Values{MulAdd(b_, values, values, carried[0]), MulAdd(b_, d, d, carried[1])};
  });
  const auto sqrt = [&](Value* sum) { return ir_.CreateUnaryIntrinsic(llvm::Intrinsic::sqrt, sum); };
  // Rounded up: a float sum of k squares is right to a factor 1 + k u, and computing d was off by at most 2u |x|.
  llvm::Constant* round_up = b_.Float(1 + static_cast<double>(k_ + 16) * 0x1p-23);
  Value* norm = ir_.CreateFMul(sqrt(SumLanes(b_, squares[0])), round_up);
  Value* error = ir_.CreateFMul(sqrt(SumLanes(b_, squares[1])), round_up);
  error = ir_.CreateFAdd(error, ir_.CreateFMul(norm, b_.Float(0x1p-21)));
  return {step, norm, error, FloatFromBits(ir_.CreateShl(exponent, 23))};
}

// <lanes x i32>: pairwise sums of products of two int16 vectors, added to `sum`.
Value* Int8Rows::AddProducts(Value* q, Value* n, Value* sum) {
  if (b_.isa().x86) {
    const llvm::Intrinsic::ID madd = lanes() == 16  ? llvm::Intrinsic::x86_avx512_pmaddw_d_512
                                     : lanes() == 8 ? llvm::Intrinsic::x86_avx2_pmadd_wd
                                                    : llvm::Intrinsic::x86_sse2_pmadd_wd;
    return ir_.CreateAdd(sum, ir_.CreateIntrinsic(madd, {}, {q, n}));
  }
  for (const int start : {0, lanes()}) {
    llvm::SmallVector<int, 16> half;
    for (int lane = 0; lane < lanes(); ++lane) {
      half.push_back(start + lane);
    }
    Value* left = ir_.CreateSExt(ir_.CreateShuffleVector(q, half), IntVector(32, lanes()));
    Value* right = ir_.CreateSExt(ir_.CreateShuffleVector(n, half), IntVector(32, lanes()));
    sum = ir_.CreateAdd(sum, ir_.CreateMul(left, right));
  }
  return sum;
}

// <wide_lanes x i16> from the first `count` of them.
Value* Int8Rows::LoadInt8(Value* address, int count) {
  Value* bytes = ir_.CreateAlignedLoad(IntVector(8, count), address, llvm::Align(1));
  if (count < wide_lanes()) {
    llvm::SmallVector<int, 64> mask(static_cast<size_t>(wide_lanes()), count);
    for (int lane = 0; lane < count; ++lane) {
      mask[static_cast<size_t>(lane)] = lane;
    }
    bytes = ir_.CreateShuffleVector(bytes, llvm::Constant::getNullValue(IntVector(8, count)), mask);
  }
  return ir_.CreateSExt(bytes, IntVector(16, wide_lanes()));
}

// <lanes x i32>: products of the int8 row with n_, to be added up across the lanes.
Value* Int8Rows::DotRow(Value* row) {
  const auto add = [&](Value* column, int count, Value* sum) {
    Value* n = ir_.CreateAlignedLoad(IntVector(16, wide_lanes()), b_.At(n_, column, 2), llvm::Align(2));
    return AddProducts(LoadInt8(b_.At(row, column, 1), count), n, sum);
  };
  const int64_t step = kUnroll * wide_lanes();
  const int64_t main = k_ / step * step;
  Values sums(kUnroll, llvm::Constant::getNullValue(IntVector(32, lanes())));
  sums = b_.For(b_.I64(0), b_.I64(main), step, sums, [&](Value* column, const Values& carried) {
    for (int64_t line = 0; line < step; line += 64) {
      Prefetch(b_, b_.At(b_.At(row, column, 1), RowBlock::kPrefetchBytes + line));
    }
    Values next;
    for (int64_t part = 0; part < kUnroll; ++part) {
      Value* at = ir_.CreateAdd(column, b_.I64(part * wide_lanes()));
      next.push_back(add(at, wide_lanes(), carried[static_cast<size_t>(part)]));
    }
    return next;
  });
  for (int64_t column = main; column < k_; column += wide_lanes()) {
    const auto count = static_cast<int>(std::min<int64_t>(wide_lanes(), k_ - column));
    Value*& sum = sums[static_cast<size_t>((column - main) / wide_lanes())];
    sum = add(b_.I64(column), count, sum);
  }
  return ir_.CreateAdd(ir_.CreateAdd(sums[0], sums[1]), ir_.CreateAdd(sums[2], sums[3]));
}

// The same for a row of 4 bits, a block of 16 bytes at a time.
Value* Int8Rows::DotPackedRow(Value* row) {
  constexpr int kBytes = kPackedColumns / 2;
  const Values zeros(2, llvm::Constant::getNullValue(IntVector(32, lanes())));
  llvm::SmallVector<int, kPackedColumns> both(kPackedColumns);
  std::iota(both.begin(), both.end(), 0);
  const Values sums = b_.For(b_.I64(0), b_.I64(k_), kPackedColumns, zeros, [&](Value* column, const Values& carried) {
    Value* at = b_.At(row, ir_.CreateLShr(column, 1), 1);
    Prefetch(b_, b_.At(at, b_.I64(RowBlock::kPrefetchBytes), 1));
    Value* bytes = ir_.CreateAlignedLoad(IntVector(8, kBytes), at, llvm::Align(1));
    Value* lower = ir_.CreateShl(bytes, 4);
    Value* upper = ir_.CreateAnd(bytes, llvm::ConstantInt::get(bytes->getType(), 0xF0));
    Value* columns = ir_.CreateShuffleVector(lower, upper, both);
    Values next = carried;
    for (int part = 0; part < kPackedColumns / wide_lanes(); ++part) {
      llvm::SmallVector<int, kPackedColumns> of_part(static_cast<size_t>(wide_lanes()));
      std::iota(of_part.begin(), of_part.end(), part * wide_lanes());
      Value* q = ir_.CreateSExt(ir_.CreateShuffleVector(columns, of_part), IntVector(16, wide_lanes()));
      Value* n_at = b_.At(n_, ir_.CreateAdd(column, b_.I64(int64_t{part} * wide_lanes())), 2);
      Value* n = ir_.CreateAlignedLoad(IntVector(16, wide_lanes()), n_at, llvm::Align(2));
      Value*& sum = next[static_cast<size_t>(part % 2)];
      sum = AddProducts(q, n, sum);
    }
    return next;
  });
  return ir_.CreateAdd(sums[0], sums[1]);
}

Value* Int8Rows::IsFinite(Value* largest) { return ir_.CreateICmpULT(largest, ir_.getInt32(0x7F800000)); }

Value* Int8Rows::DotFour(Value* q8, const Values& rows) {
  Values sums;
  for (Value* row : rows) {
    Value* address = b_.At(q8, row, PredictorRowBytes(bits_, k_));
    sums.push_back(bits_ == 8 ? DotRow(address) : DotPackedRow(address));
  }
  return SumEachOfFour(b_, sums);
}

}  // namespace dejavu
