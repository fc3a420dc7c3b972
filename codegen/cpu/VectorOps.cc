#include "codegen/cpu/VectorOps.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "llvm/IR/Intrinsics.h"

namespace dejavu {
namespace {

using llvm::FixedVectorType;
using llvm::Value;

FixedVectorType* IntVector(KernelBuilder& b, unsigned bits, int count) {
  return FixedVectorType::get(b.ir().getIntNTy(bits), static_cast<unsigned>(count));
}

int LaneCount(Value* vector) {
  return static_cast<int>(llvm::cast<FixedVectorType>(vector->getType())->getNumElements());
}

// Half bits to float without F16C. Shifting the exponent into place leaves it 112 too small; a product repairs normal
// and subnormal numbers alike, and the exponent of infinities and NaNs is set by hand.
Value* HalfBitsToFloat(KernelBuilder& b, Value* bits, int count) {
  llvm::IRBuilder<>& ir = b.ir();
  const auto constant = [&](uint32_t value) { return llvm::ConstantInt::get(IntVector(b, 32, count), value); };
  // Extending the sign leaves copies of it above the exponent, which are masked out.
  Value* wide = ir.CreateShl(ir.CreateSExt(bits, IntVector(b, 32, count)), 13);
  wide = ir.CreateAnd(wide, constant(0x8FFFE000));
  Value* scaled =
      ir.CreateFMul(ir.CreateBitCast(wide, b.FloatVector(count)), llvm::ConstantFP::get(b.FloatVector(count), 0x1p112));
  Value* special = ir.CreateICmpEQ(ir.CreateAnd(wide, constant(0x0F800000)), constant(0x0F800000));
  Value* exponent = ir.CreateAnd(ir.CreateSExt(special, IntVector(b, 32, count)), constant(0x7F800000));
  return ir.CreateBitCast(ir.CreateOr(ir.CreateBitCast(scaled, IntVector(b, 32, count)), exponent),
                          b.FloatVector(count));
}

}  // namespace

Value* LoadFloats(KernelBuilder& b, Value* address, DType dtype, int count) {
  llvm::IRBuilder<>& ir = b.ir();
  if (dtype == DType::kF32) {
    return ir.CreateAlignedLoad(b.FloatVector(count), address, llvm::Align(4));
  }
  if (dtype == DType::kF16 && b.isa().native_half) {
    auto* type = FixedVectorType::get(ir.getHalfTy(), static_cast<unsigned>(count));
    return ir.CreateFPExt(ir.CreateAlignedLoad(type, address, llvm::Align(2)), b.FloatVector(count));
  }
  Value* bits = ir.CreateAlignedLoad(IntVector(b, 16, count), address, llvm::Align(2));
  if (dtype == DType::kF16) {
    return HalfBitsToFloat(b, bits, count);
  }
  return ir.CreateBitCast(ir.CreateShl(ir.CreateZExt(bits, IntVector(b, 32, count)), 16), b.FloatVector(count));
}

Value* LoadColumns(KernelBuilder& b, Value* row, Value* column, int count, DType dtype) {
  return LoadFloats(b, b.At(row, column, static_cast<int64_t>(DTypeSize(dtype))), dtype, count);
}

Value* LoadPadded(KernelBuilder& b, Value* address, DType dtype, int count) {
  return Pad(b, LoadFloats(b, address, dtype, count));
}

Value* Pad(KernelBuilder& b, Value* vector) {
  const int count = LaneCount(vector);
  if (count == b.lanes()) {
    return vector;
  }
  llvm::SmallVector<int, 16> mask(static_cast<size_t>(b.lanes()), count);
  std::iota(mask.begin(), mask.begin() + count, 0);
  return b.ir().CreateShuffleVector(vector, llvm::Constant::getNullValue(vector->getType()), mask);
}

void StoreFloats(KernelBuilder& b, Value* vector, Value* address, int count) {
  if (count < LaneCount(vector)) {
    llvm::SmallVector<int, 16> mask(static_cast<size_t>(count));
    std::iota(mask.begin(), mask.end(), 0);
    vector = b.ir().CreateShuffleVector(vector, mask);
  }
  b.ir().CreateAlignedStore(vector, address, llvm::Align(4));
}

Value* MulAdd(KernelBuilder& b, Value* x, Value* y, Value* z) {
  return b.ir().CreateIntrinsic(llvm::Intrinsic::fmuladd, {x->getType()}, {x, y, z});
}

Value* Relu(KernelBuilder& b, Value* x) {
  llvm::Constant* zero = llvm::Constant::getNullValue(x->getType());
  return b.ir().CreateSelect(b.ir().CreateFCmpOLE(x, zero), zero, x);
}

Value* Splat(KernelBuilder& b, Value* scalar, int count) {
  return b.ir().CreateVectorSplat(static_cast<unsigned>(count), scalar);
}

Value* ZeroVector(KernelBuilder& b, int count) { return llvm::Constant::getNullValue(b.FloatVector(count)); }

void ForColumns(KernelBuilder& b, int64_t width, llvm::function_ref<void(Value*, int)> body) {
  ForColumns(b, width, {}, [&](Value* column, int count, const Values&) {
    body(column, count);
    return Values{};
  });
}

Values ForColumns(KernelBuilder& b, int64_t width, const Values& initial,
                  llvm::function_ref<Values(Value*, int, const Values&)> body) {
  const int64_t main = width / b.lanes() * b.lanes();
  const Values sums = b.For(b.I64(0), b.I64(main), b.lanes(), initial,
                            [&](Value* column, const Values& carried) { return body(column, b.lanes(), carried); });
  return main == width ? sums : body(b.I64(main), static_cast<int>(width - main), sums);
}

Value* SumEachOfFour(KernelBuilder& b, const Values& vectors) {
  llvm::IRBuilder<>& ir = b.ir();
  const int lanes = LaneCount(vectors[0]);
  const auto add = [&](Value* x, Value* y) {
    return x->getType()->isFPOrFPVectorTy() ? ir.CreateFAdd(x, y) : ir.CreateAdd(x, y);
  };
  // Adds two shuffles of (x, y), each given by its four lanes within a group of four; 4.. are lanes of y.
  const auto step = [&](Value* x, Value* y, std::array<int, 4> low, std::array<int, 4> high) {
    llvm::SmallVector<int, 16> low_mask;
    llvm::SmallVector<int, 16> high_mask;
    for (int lane = 0; lane < lanes; ++lane) {
      const int group = lane / 4 * 4;
      const auto pick = [&](int source) { return source < 4 ? group + source : lanes + group + source - 4; };
      low_mask.push_back(pick(low[static_cast<size_t>(lane % 4)]));
      high_mask.push_back(pick(high[static_cast<size_t>(lane % 4)]));
    }
    return add(ir.CreateShuffleVector(x, y, low_mask), ir.CreateShuffleVector(x, y, high_mask));
  };
  Value* first = step(vectors[0], vectors[1], {0, 4, 1, 5}, {2, 6, 3, 7});
  Value* second = step(vectors[2], vectors[3], {0, 4, 1, 5}, {2, 6, 3, 7});
  Value* sum = step(first, second, {0, 1, 4, 5}, {2, 3, 6, 7});
  for (int width = lanes / 2; width >= 4; width /= 2) {
    llvm::SmallVector<int, 16> low(static_cast<size_t>(width));
    llvm::SmallVector<int, 16> high(static_cast<size_t>(width));
    std::iota(low.begin(), low.end(), 0);
    std::iota(high.begin(), high.end(), width);
    sum = add(ir.CreateShuffleVector(sum, low), ir.CreateShuffleVector(sum, high));
  }
  return sum;
}

Value* FoldLanes(KernelBuilder& b, Value* vector, llvm::function_ref<Value*(Value*, Value*)> combine) {
  for (int width = LaneCount(vector) / 2; width >= 1; width /= 2) {
    llvm::SmallVector<int, 16> low(static_cast<size_t>(width));
    llvm::SmallVector<int, 16> high(static_cast<size_t>(width));
    std::iota(low.begin(), low.end(), 0);
    std::iota(high.begin(), high.end(), width);
    vector = combine(b.ir().CreateShuffleVector(vector, low), b.ir().CreateShuffleVector(vector, high));
  }
  return b.ir().CreateExtractElement(vector, uint64_t{0});
}

Value* SumLanes(KernelBuilder& b, Value* vector) {
  return FoldLanes(b, vector, [&](Value* x, Value* y) { return b.ir().CreateFAdd(x, y); });
}

Value* Max(KernelBuilder& b, Value* x, Value* y) { return b.ir().CreateSelect(b.ir().CreateFCmpOGT(x, y), x, y); }

Value* ExpOfNegative(KernelBuilder& b, Value* x) {
  llvm::IRBuilder<>& ir = b.ir();
  llvm::Type* type = x->getType();
  llvm::Type* int_type = type->getWithNewBitWidth(32);
  if (auto* vector = llvm::dyn_cast<FixedVectorType>(type)) {
    int_type = IntVector(b, 32, static_cast<int>(vector->getNumElements()));
  }
  const auto constant = [&](double value) { return llvm::ConstantFP::get(type, value); };
  // Adding 1.5 * 2^23 rounds to an integer, which stands in the low bits of the sum.
  Value* magic = constant(0x1.8p23);
  Value* shifted = MulAdd(b, x, constant(1.44269504088896341), magic);
  Value* n = ir.CreateFSub(shifted, magic);
  // x - n ln 2 in two steps: the high part of ln 2 has trailing zeros, so its product with n is exact.
  Value* r = MulAdd(b, n, constant(-0.693359375), x);
  r = MulAdd(b, n, constant(2.12194440054690583e-4), r);
  // Taylor's polynomial: its next term is at most 0.3466^8 / 8! = 5.2e-9.
  Value* p = constant(1.0 / 5040);
  for (const double coefficient : {1.0 / 720, 1.0 / 120, 1.0 / 24, 1.0 / 6, 0.5, 1.0, 1.0}) {
    p = MulAdd(b, p, r, constant(coefficient));
  }
  Value* exponent = ir.CreateAdd(ir.CreateBitCast(shifted, int_type), llvm::ConstantInt::get(int_type, 127));
  Value* power = ir.CreateBitCast(ir.CreateShl(exponent, 23), type);
  Value* tiny = ir.CreateFCmpOLT(x, constant(-87.0));
  return ir.CreateSelect(tiny, llvm::Constant::getNullValue(type), ir.CreateFMul(p, power));
}

void Prefetch(KernelBuilder& b, Value* address) {
  llvm::IRBuilder<>& ir = b.ir();
  ir.CreateIntrinsic(llvm::Intrinsic::prefetch, {address->getType()},
                     {address, ir.getInt32(0), ir.getInt32(3), ir.getInt32(1)});
}

namespace {

// The sum of products as one vector, to be added up across its lanes.
Value* DotRow(KernelBuilder& b, Value* row, Value* x, const RowLayout& layout,
              llvm::function_ref<Value*(Value* offset)> prefetch) {
  const int lanes = b.lanes();
  const int64_t size = layout.element_bytes();
  // Enough partial sums to hide the latency of a multiply-add.
  const int64_t unroll = std::clamp<int64_t>(layout.width / lanes, 1, layout.in_double ? 4 : 8);
  const auto product = [&](Value* k, int64_t extra, int count, Value* sum) {
    Value* x_vector = LoadPadded(b, b.At(b.At(x, k, 4), extra * 4), DType::kF32, count);
    Value* w = LoadPadded(b, b.At(b.At(row, k, size), extra * size), layout.dtype, count);
    if (layout.in_double) {
      auto* type = FixedVectorType::get(b.ir().getDoubleTy(), static_cast<unsigned>(lanes));
      x_vector = b.ir().CreateFPExt(x_vector, type);
      w = b.ir().CreateFPExt(w, type);
    }
    return sum == nullptr ? b.ir().CreateFMul(w, x_vector) : MulAdd(b, w, x_vector, sum);
  };
  const int64_t step = unroll * lanes;
  const int64_t main = layout.width / step * step;
  const auto prefetch_lines = [&](Value* k, int64_t bytes) {
    Value* offset = b.ir().CreateMul(k, b.I64(size));
    for (int64_t line = 0; line < bytes; line += 64) {
      Prefetch(b, prefetch(b.ir().CreateAdd(offset, b.I64(line))));
    }
  };
  Values sums;
  prefetch_lines(b.I64(0), std::min(step, layout.width) * size);
  for (int64_t part = 0; part < unroll; ++part) {
    const int64_t count = std::min<int64_t>(lanes, layout.width - part * lanes);
    sums.push_back(product(b.I64(0), part * lanes, static_cast<int>(count), nullptr));
  }
  sums = b.For(b.I64(step), b.I64(main), step, sums, [&](Value* k, const Values& carried) {
    prefetch_lines(k, step * size);
    Values next;
    for (int64_t part = 0; part < unroll; ++part) {
      next.push_back(product(k, part * lanes, lanes, carried[static_cast<size_t>(part)]));
    }
    return next;
  });
  const int64_t rest = std::max(main, step);
  prefetch_lines(b.I64(rest), (layout.width - rest) * size);
  for (int64_t k = rest; k < layout.width; k += lanes) {
    const auto count = static_cast<int>(std::min<int64_t>(lanes, layout.width - k));
    Value*& sum = sums[static_cast<size_t>((k - rest) / lanes)];
    sum = product(b.I64(k), 0, count, sum);
  }
  while (sums.size() > 1) {
    Values halves;
    for (size_t i = 0; i + 1 < sums.size(); i += 2) {
      halves.push_back(b.ir().CreateFAdd(sums[i], sums[i + 1]));
    }
    if (sums.size() % 2 != 0) {
      halves.push_back(sums.back());
    }
    sums = halves;
  }
  return sums[0];
}

}  // namespace

Value* DotFourRows(KernelBuilder& b, const Values& rows, Value* x, const RowLayout& layout,
                   llvm::function_ref<Value*(int, Value*)> prefetch) {
  // One row after the other: a single stream of addresses is what hardware prefetchers follow best.
  Values sums;
  for (int r = 0; r < 4; ++r) {
    const auto prefetch_row = [&](Value* offset) { return prefetch(r, offset); };
    sums.push_back(DotRow(b, rows[static_cast<size_t>(r)], x, layout, prefetch_row));
  }
  return SumEachOfFour(b, sums);
}

}  // namespace dejavu
