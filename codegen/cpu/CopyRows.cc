#include "codegen/cpu/CopyRows.h"

#include <algorithm>

#include "codegen/cpu/VectorOps.h"
#include "llvm/IR/Intrinsics.h"
#include "llvm/IR/IntrinsicsX86.h"

namespace dejavu {

using llvm::FixedVectorType;
using llvm::Value;

namespace {

int64_t RoundUp(int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; }

}  // namespace

CopyRows::CopyRows(KernelBuilder& b, int64_t k, int64_t bits, int64_t group)
    : b_(b), ir_(b.ir()), k_(k), bits_(bits), group_(group), group_sums_(nullptr) {
  for (const int number : {0, 1}) {
    const CopyPlane plane = CopyPlaneOf(bits, number);
    if (plane.bits == 0) {
      continue;
    }
    const bool same = !planes_.empty() && planes_[0].plane.bits == plane.bits;
    planes_.push_back({plane, same ? planes_[0].n : b.Scratch(Vectors(plane) * VectorColumns(plane))});
  }
  group_sums_ = b.Scratch(2 * RoundUp(groups(), int64_t{2} * lanes()));
}

FixedVectorType* CopyRows::IntVector(unsigned bits, int64_t count) {
  return FixedVectorType::get(ir_.getIntNTy(bits), static_cast<unsigned>(count));
}

/// <padded x i8>: `count` bytes, then zeros.
Value* CopyRows::LoadBytes(Value* address, int64_t count, int64_t padded) {
  Value* bytes = ir_.CreateAlignedLoad(IntVector(8, count), address, llvm::Align(1));
  if (count == padded) {
    return bytes;
  }
  llvm::SmallVector<int, 64> mask(static_cast<size_t>(padded), static_cast<int>(count));
  for (int lane = 0; lane < count; ++lane) {
    mask[static_cast<size_t>(lane)] = lane;
  }
  return ir_.CreateShuffleVector(bytes, llvm::Constant::getNullValue(IntVector(8, count)), mask);
}

/// `bytes` is a multiple of 16.
void CopyRows::Zero(Value* address, int64_t bytes) {
  b_.For(b_.I64(0), b_.I64(bytes), 16, [&](Value* at) {
    ir_.CreateAlignedStore(llvm::Constant::getNullValue(IntVector(8, 16)), b_.At(address, at, 1), llvm::Align(1));
  });
}

CopyRows::Rounding CopyRows::Round(Value* x, Value* largest) {
  const auto bits_to_float = [&](Value* bits) { return ir_.CreateBitCast(bits, b_.F32()); };
  Value* exponent = ir_.CreateLShr(largest, 23);
  exponent = ir_.CreateBinaryIntrinsic(llvm::Intrinsic::umax, exponent, ir_.getInt32(1));
  exponent = ir_.CreateBinaryIntrinsic(llvm::Intrinsic::umin, exponent, ir_.getInt32(253));
  Value* down = bits_to_float(ir_.CreateShl(ir_.CreateSub(ir_.getInt32(254), exponent), 23));
  Value* scaled = ir_.CreateFMul(bits_to_float(largest), down);
  scaled = ir_.CreateSelect(ir_.CreateICmpEQ(largest, ir_.getInt32(0)), b_.Float(1), scaled);
  llvm::Constant* levels = b_.Float(static_cast<double>(CopyLevels(bits_, k_)));
  Value* inverse = ir_.CreateFDiv(levels, scaled);

  const int64_t padded = RoundUp(k_, 16);
  Value* n = b_.Scratch(padded);
  Zero(b_.At(n, padded - 16), 16);
  ForColumns(b_, k_, [&](Value* column, int count) {
    Value* values = ir_.CreateFMul(LoadFloats(b_, b_.At(x, column, 4), DType::kF32, count), Splat(b_, down, count));
    values = ir_.CreateUnaryIntrinsic(llvm::Intrinsic::rint, ir_.CreateFMul(values, Splat(b_, inverse, count)));
    Value* narrow = ir_.CreateTrunc(ir_.CreateFPToSI(values, IntVector(32, count)), IntVector(8, count));
    ir_.CreateAlignedStore(narrow, b_.At(n, column, 1), llvm::Align(1));
  });
  for (size_t i = 0; i < planes_.size(); ++i) {
    if (i == 0 || planes_[i].n != planes_[0].n) {
      Arrange(n, planes_[i]);
    }
  }
  SumGroups(n);
  return {ir_.CreateFDiv(scaled, levels), bits_to_float(ir_.CreateShl(exponent, 23))};
}

/// Puts each 16 bytes of n to where the field is that they are multiplied with.
void CopyRows::Arrange(Value* n, const Plane& plane) {
  const int64_t blocks = vector_bytes() / kCopyBlockBytes;
  const int64_t fields = plane.fields();
  Zero(plane.n, Vectors(plane.plane) * VectorColumns(plane.plane));
  b_.For(b_.I64(0), b_.I64((k_ + 15) / 16), 1, [&](Value* piece) {
    const auto quotient = [&](Value* value, int64_t by) { return ir_.CreateUDiv(value, b_.I64(by)); };
    const auto rest = [&](Value* value, int64_t by) { return ir_.CreateURem(value, b_.I64(by)); };
    Value* block = quotient(piece, fields);
    Value* to = ir_.CreateMul(quotient(block, blocks), b_.I64(fields * blocks));
    to = ir_.CreateAdd(to, ir_.CreateMul(rest(piece, fields), b_.I64(blocks)));
    to = ir_.CreateAdd(to, rest(block, blocks));
    ir_.CreateAlignedStore(LoadBytes(b_.At(n, piece, 16), 16, 16), b_.At(plane.n, to, 16), llvm::Align(1));
  });
}

void CopyRows::SumGroups(Value* n) {
  Zero(group_sums_, 2 * RoundUp(groups(), int64_t{2} * lanes()));
  b_.For(b_.I64(0), b_.I64((k_ + 15) / 16), 1, [&](Value* piece) {
    Value* wide = ir_.CreateSExt(LoadBytes(b_.At(n, piece, 16), 16, 16), IntVector(16, 16));
    Value* at = b_.At(group_sums_, ir_.CreateUDiv(piece, b_.I64(group_ / 16)), 2);
    Value* before = ir_.CreateAlignedLoad(ir_.getInt16Ty(), at, llvm::Align(2));
    ir_.CreateAlignedStore(ir_.CreateAdd(before, ir_.CreateAddReduce(wide)), at, llvm::Align(2));
  });
}

/// <2 lanes x i16>: sums of the products of pairs of unsigned and signed bytes. Fields are at most 15.
Value* CopyRows::PairProducts(Value* fields, Value* n) {
  if (b_.isa().x86) {
    const llvm::Intrinsic::ID madd = lanes() == 16  ? llvm::Intrinsic::x86_avx512_pmaddubs_w_512
                                     : lanes() == 8 ? llvm::Intrinsic::x86_avx2_pmadd_ub_sw
                                                    : llvm::Intrinsic::x86_ssse3_pmadd_ub_sw_128;
    return ir_.CreateIntrinsic(madd, {}, {fields, n});
  }
  llvm::SmallVector<int, 64> even;
  llvm::SmallVector<int, 64> odd;
  for (int lane = 0; lane < 2 * lanes(); ++lane) {
    even.push_back(2 * lane);
    odd.push_back(2 * lane + 1);
  }
  Value* products = ir_.CreateMul(ir_.CreateZExt(fields, IntVector(16, vector_bytes())),
                                  ir_.CreateSExt(n, IntVector(16, vector_bytes())));
  return ir_.CreateAdd(ir_.CreateShuffleVector(products, even), ir_.CreateShuffleVector(products, odd));
}

/// <lanes x i32>: pairs of products of i16, added to `sum`.
Value* CopyRows::AddScaled(Value* sums, Value* scales, Value* sum) {
  if (b_.isa().x86) {
    const llvm::Intrinsic::ID madd = lanes() == 16  ? llvm::Intrinsic::x86_avx512_pmaddw_d_512
                                     : lanes() == 8 ? llvm::Intrinsic::x86_avx2_pmadd_wd
                                                    : llvm::Intrinsic::x86_sse2_pmadd_wd;
    return ir_.CreateAdd(sum, ir_.CreateIntrinsic(madd, {}, {sums, scales}));
  }
  for (const int start : {0, lanes()}) {
    llvm::SmallVector<int, 16> half;
    for (int lane = 0; lane < lanes(); ++lane) {
      half.push_back(start + lane);
    }
    Value* left = ir_.CreateSExt(ir_.CreateShuffleVector(sums, half), IntVector(32, lanes()));
    Value* right = ir_.CreateSExt(ir_.CreateShuffleVector(scales, half), IntVector(32, lanes()));
    sum = ir_.CreateAdd(sum, ir_.CreateMul(left, right));
  }
  return sum;
}

/// <2 lanes x i16>: for each pair of bytes of a vector, the scale of the columns of field `field`. `loaded` scales are
/// there of those that the vector's columns have, from number `vector` times as many on.
Value* CopyRows::ScalesOf(const CopyPlane& plane, Value* scales, Value* vector, int64_t field, int64_t loaded) {
  const int64_t columns = VectorColumns(plane);
  if (columns <= group_) {
    Value* number = ir_.CreateUDiv(vector, b_.I64(group_ / columns));
    Value* scale = ir_.CreateAlignedLoad(ir_.getInt8Ty(), b_.At(scales, number, 1), llvm::Align(1));
    return ir_.CreateVectorSplat(static_cast<unsigned>(2 * lanes()), ir_.CreateSExt(scale, ir_.getInt16Ty()));
  }
  const int64_t all = columns / group_;
  Value* few = LoadBytes(b_.At(scales, vector, all), loaded, loaded);
  llvm::SmallVector<int, 32> mask;
  for (int64_t lane = 0; lane < int64_t{2} * lanes(); ++lane) {
    const int64_t column = lane / 8 * plane.block_columns() + 16 * field;
    mask.push_back(static_cast<int>(std::min(column / group_, loaded)));
  }
  Value* zero = llvm::Constant::getNullValue(IntVector(8, loaded));
  return ir_.CreateSExt(ir_.CreateShuffleVector(few, zero, mask), IntVector(16, 2 * lanes()));
}

/// Adds a vector of a plane, number `vector`, to `sum`. `last` is the same number where it is known to be the last one,
/// which may be shorter and have fewer scales; -1 for others.
Value* CopyRows::AddVector(const Plane& plane, Value* row, Value* scales, Value* vector, int64_t last, Value* sum) {
  const CopyPlane& p = plane.plane;
  const int64_t columns = VectorColumns(p);
  const int64_t bytes = last < 0 ? vector_bytes() : p.bytes(k_) - last * vector_bytes();
  const int64_t all = std::max<int64_t>(1, columns / group_);
  const int64_t loaded = last < 0 || columns <= group_ ? all : groups() - last * all;
  Value* loads = LoadBytes(b_.At(row, vector, vector_bytes()), bytes, vector_bytes());
  Value* mask = ir_.CreateVectorSplat(static_cast<unsigned>(vector_bytes()),
                                      ir_.getInt8(static_cast<uint8_t>((1 << p.bits) - 1)));
  // Fields that share a scale are added up first: eight sums of two products of at most 15 and 127 fit 16 bits.
  const int64_t shared = std::clamp<int64_t>(group_ / 16, 1, plane.fields());
  Value* pairs = nullptr;
  for (int64_t field = 0; field < plane.fields(); ++field) {
    Value* fields = ir_.CreateAnd(ir_.CreateLShr(loads, static_cast<uint64_t>(p.bits * field)), mask);
    Value* at = ir_.CreateAdd(ir_.CreateMul(vector, b_.I64(plane.fields())), b_.I64(field));
    Value* n = ir_.CreateAlignedLoad(IntVector(8, vector_bytes()), b_.At(plane.n, at, vector_bytes()), llvm::Align(16));
    Value* products = PairProducts(fields, n);
    pairs = field % shared == 0 ? products : ir_.CreateAdd(pairs, products);
    if (field % shared == shared - 1) {
      sum = AddScaled(pairs, ScalesOf(p, scales, vector, field, loaded), sum);
    }
  }
  return sum;
}

/// <lanes x i32>: the sum of m field n over a plane of a row, to be added up across the lanes. As many bytes from
/// `ahead` on are asked for.
Value* CopyRows::DotPlane(const Plane& plane, Value* row, Value* scales, Value* ahead) {
  const int64_t whole = k_ / VectorColumns(plane.plane);
  const Values zero = {llvm::Constant::getNullValue(IntVector(32, lanes()))};
  const Values sums = b_.For(b_.I64(0), b_.I64(whole), 1, zero, [&](Value* vector, const Values& carried) {
    Prefetch(b_, b_.At(ahead, vector, vector_bytes()));
    return Values{AddVector(plane, row, scales, vector, -1, carried[0])};
  });
  if (whole == Vectors(plane.plane)) {
    return sums[0];
  }
  Prefetch(b_, b_.At(ahead, whole * vector_bytes()));
  return AddVector(plane, row, scales, b_.I64(whole), whole, sums[0]);
}

/// <lanes x i32>: the sum of m times the sum of n over each group, to be added up across the lanes.
Value* CopyRows::DotGroupSums(Value* scales) {
  const int64_t step = 2 * static_cast<int64_t>(lanes());
  const auto add = [&](Value* group, int64_t count, Value* sum) {
    Value* wide = ir_.CreateSExt(LoadBytes(b_.At(scales, group, 1), count, step), IntVector(16, step));
    Value* sums = ir_.CreateAlignedLoad(IntVector(16, step), b_.At(group_sums_, group, 2), llvm::Align(2));
    return AddScaled(wide, sums, sum);
  };
  const int64_t main = groups() / step * step;
  const Values zero = {llvm::Constant::getNullValue(IntVector(32, lanes()))};
  const Values sums = b_.For(b_.I64(0), b_.I64(main), step, zero,
                             [&](Value* group, const Values& carried) { return Values{add(group, step, carried[0])}; });
  return main == groups() ? sums[0] : add(b_.I64(main), groups() - main, sums[0]);
}

Value* CopyRows::DotFour(Value* copy, Value* scales, const Values& rows, const Values& next) {
  Values sums;
  for (size_t r = 0; r < rows.size(); ++r) {
    Value* row = b_.At(copy, rows[r], CopyRowBytes(bits_, k_));
    Value* ahead = next.empty() ? b_.At(row, kCopyPrefetchBytes) : b_.At(copy, next[r], CopyRowBytes(bits_, k_));
    Value* of_row = b_.At(scales, rows[r], groups());
    if (!next.empty()) {
      Prefetch(b_, b_.At(scales, next[r], groups()));
    }
    const auto centre = static_cast<uint32_t>(CopyCentre(bits_));
    Value* sum = ir_.CreateMul(DotGroupSums(of_row),
                               ir_.CreateVectorSplat(static_cast<unsigned>(lanes()), ir_.getInt32(0U - centre)));
    int64_t offset = 0;
    for (const Plane& plane : planes_) {
      Value* of_plane = DotPlane(plane, b_.At(row, offset), of_row, b_.At(ahead, offset));
      sum = ir_.CreateAdd(sum, ir_.CreateShl(of_plane, static_cast<uint64_t>(1 + plane.plane.shift)));
      offset += plane.plane.bytes(k_);
    }
    sums.push_back(sum);
  }
  return SumEachOfFour(b_, sums);
}

}  // namespace dejavu
