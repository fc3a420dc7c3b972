// certified_test: which neurons are certain not to be positive, from an int8 copy of their weights.
//
// Notation for one neuron: w = its exact weights, q its int8 row, e = w - scale q, |e| <= residual_norm, |w| <= norm.
// x is scaled by a power of two so that its largest element lies in [2^-23, 4), which is exact and keeps every sum of
// squares below far from underflow and overflow; `up` undoes it. n = round(x / sx) in int16 and d = x - sx n. Then
//   w.x = scale sx (q.n) + w.d + e.(sx n),   |w.d| <= norm |d|,   |e.(sx n)| <= residual_norm (|x| + |d|).
// q.n is exact in int32. With u = 2^-24, a dense kernel in floats, in whatever order it adds, is off by at most
// (k + 1) u / (1 - (k + 1) u) (norm |x| + |bias|), and the roundings of the formula here by at most
//   4u |s| with |s| <= (norm + residual_norm) (|x| + |d|), 5u of the margin, and u |bias|.
// gamma = (k + 8) 2u covers the first, the parts 4u norm |x| and u |bias|; a factor 1 + 64u on the margin covers the
// rest. Results that underflow, here or in the dense kernel, add up to less than k 2^-149 <= 2^-133: kTiny covers it.
// Where float arithmetic could overflow, or scale could underflow, and for any NaN, the answer is "maybe positive".
#include <algorithm>
#include <limits>

#include "codegen/cpu/CpuKernels.h"
#include "codegen/cpu/KernelBuilder.h"
#include "codegen/cpu/VectorOps.h"
#include "codegen/target/KernelShapes.h"
#include "llvm/IR/Intrinsics.h"
#include "llvm/IR/IntrinsicsX86.h"

namespace dejavu {
namespace {

using llvm::FixedVectorType;
using llvm::Value;

constexpr int64_t kRows = 4;
constexpr int64_t kPrefetchBytes = 4096;
constexpr double kTiny = 0x1p-120;
constexpr double kSlack = 1 + 0x1p-18;
constexpr double kLeastScale = 0x1p-80;
constexpr double kLargestNorm = 0x1p80;
constexpr double kLargestSum = 0x1p120;

class CertifiedTestEmitter {
 public:
  CertifiedTestEmitter(EmitContext& context, const KernelSpec& spec)
      : shape_(MatchCertifiedTest(spec).value()),
        b_(context, CpuSymbol(spec)),
        ir_(b_.ir()),
        gamma_(static_cast<double>(shape_.k + 8) * 0x1p-23),
        levels_(std::min<int64_t>(32767, std::numeric_limits<int32_t>::max() / (128 * shape_.k))),
        n_(b_.Scratch(2 * PaddedWidth())) {}

  void Emit() {
    Value* x = b_.Arg(0);
    Value* q8 = b_.Arg(1);
    Value* rows = b_.Arg(2);
    Value* flags = b_.Arg(3);
    const Range blocks = b_.Share(b_.I64((shape_.n + kRows - 1) / kRows));
    Value* largest = LargestBits(x);
    Value* finite = ir_.CreateICmpULT(largest, ir_.getInt32(0x7F800000));
    b_.If(ir_.CreateNot(finite), [&] {
      b_.For(blocks.begin, blocks.end, 1, [&](Value* block) {
        for (Value* neuron : Neurons(block)) {
          StoreFlag(ir_.getTrue(), flags, neuron);
        }
      });
    });
    b_.If(finite, [&] {
      const Input input = Quantize(x, largest);
      b_.For(blocks.begin, blocks.end, 1, [&](Value* block) {
        const Values neurons = Neurons(block);
        Value* maybe_positive = MaybePositive(input, neurons, rows, DotFourInt8Rows(q8, neurons));
        for (size_t r = 0; r < kRows; ++r) {
          StoreFlag(ir_.CreateExtractElement(maybe_positive, r), flags, neurons[r]);
        }
      });
    });
    b_.Finish();
  }

 private:
  // What the test needs of x, all f32: sx, the norms of x and d, and 2^e that undoes the scaling.
  struct Input {
    Value* step;
    Value* norm;
    Value* error;
    Value* up;
  };

  // Lanes of an int16 vector.
  [[nodiscard]] int wide_lanes() const { return 2 * lanes(); }
  [[nodiscard]] int lanes() const { return b_.isa().vector_floats; }
  [[nodiscard]] int64_t PaddedWidth() const { return (shape_.k + wide_lanes() - 1) / wide_lanes() * wide_lanes(); }

  [[nodiscard]] FixedVectorType* IntVector(unsigned bits, int count) {
    return FixedVectorType::get(ir_.getIntNTy(bits), static_cast<unsigned>(count));
  }

  // The neurons of a block; past the end the last one again.
  Values Neurons(Value* block) {
    Values neurons;
    for (int64_t r = 0; r < kRows; ++r) {
      Value* neuron = ir_.CreateAdd(ir_.CreateMul(block, b_.I64(kRows)), b_.I64(r));
      if (shape_.n % kRows != 0) {
        neuron = ir_.CreateBinaryIntrinsic(llvm::Intrinsic::smin, neuron, b_.I64(shape_.n - 1));
      }
      neurons.push_back(neuron);
    }
    return neurons;
  }

  void StoreFlag(Value* flag, Value* flags, Value* neuron) {
    ir_.CreateAlignedStore(ir_.CreateZExt(flag, ir_.getInt8Ty()), b_.At(flags, neuron, 1), llvm::Align(1));
  }

  // The bits of the largest |x[i]|, i32; they are ordered as the numbers are, NaN above infinity.
  Value* LargestBits(Value* x) {
    const auto larger = [&](Value* left, Value* right) {
      return ir_.CreateBinaryIntrinsic(llvm::Intrinsic::umax, left, right);
    };
    const Values zero = {llvm::Constant::getNullValue(IntVector(32, lanes()))};
    const Values bits = ForColumns(b_, shape_.k, zero, [&](Value* column, int count, const Values& carried) {
      Value* values = LoadPadded(b_, b_.At(x, column, 4), DType::kF32, count);
      Value* magnitude = ir_.CreateAnd(ir_.CreateBitCast(values, IntVector(32, lanes())), 0x7FFFFFFF);
      return Values{larger(carried[0], magnitude)};
    });
    return FoldLanes(b_, bits[0], larger);
  }

  Value* FloatFromBits(Value* bits) { return ir_.CreateBitCast(bits, b_.F32()); }

  Value* Sqrt(Value* x) { return ir_.CreateUnaryIntrinsic(llvm::Intrinsic::sqrt, x); }

  // Fills n_ with round(x / sx), padded by zeros.
  Input Quantize(Value* x, Value* largest) {
    Value* exponent = ir_.CreateLShr(largest, 23);
    exponent = ir_.CreateBinaryIntrinsic(llvm::Intrinsic::umax, exponent, ir_.getInt32(1));
    exponent = ir_.CreateBinaryIntrinsic(llvm::Intrinsic::umin, exponent, ir_.getInt32(253));
    Value* down = FloatFromBits(ir_.CreateShl(ir_.CreateSub(ir_.getInt32(254), exponent), 23));
    Value* scaled = ir_.CreateFMul(FloatFromBits(largest), down);
    scaled = ir_.CreateSelect(ir_.CreateICmpEQ(largest, ir_.getInt32(0)), b_.Float(1), scaled);
    llvm::Constant* levels = b_.Float(static_cast<double>(levels_));
    Value* step = ir_.CreateFDiv(scaled, levels);
    Value* inverse = ir_.CreateFDiv(levels, scaled);

    if (PaddedWidth() != shape_.k) {
      const auto count = static_cast<int>(PaddedWidth() - shape_.k);
      ir_.CreateAlignedStore(llvm::Constant::getNullValue(IntVector(16, count)), b_.At(n_, 2 * shape_.k),
                             llvm::Align(2));
    }
    const Values zeros(2, ZeroVector(b_, lanes()));
    const Values squares = ForColumns(b_, shape_.k, zeros, [&](Value* column, int count, const Values& carried) {
      Value* values = ir_.CreateFMul(LoadFloats(b_, b_.At(x, column, 4), DType::kF32, count), Splat(b_, down, count));
      Value* n = ir_.CreateUnaryIntrinsic(llvm::Intrinsic::rint, ir_.CreateFMul(values, Splat(b_, inverse, count)));
      Value* narrow = ir_.CreateTrunc(ir_.CreateFPToSI(n, IntVector(32, count)), IntVector(16, count));
      ir_.CreateAlignedStore(narrow, b_.At(n_, column, 2), llvm::Align(2));
      Value* d = Pad(b_, MulAdd(b_, ir_.CreateFNeg(n), Splat(b_, step, count), values));
      values = Pad(b_, values);
      return Values{MulAdd(b_, values, values, carried[0]), MulAdd(b_, d, d, carried[1])};
    });
    // Rounded up: a float sum of k squares is right to a factor 1 + k u, and computing d was off by at most 2u |x|.
    llvm::Constant* round_up = b_.Float(1 + static_cast<double>(shape_.k + 16) * 0x1p-23);
    Value* norm = ir_.CreateFMul(Sqrt(SumLanes(b_, squares[0])), round_up);
    Value* error = ir_.CreateFMul(Sqrt(SumLanes(b_, squares[1])), round_up);
    error = ir_.CreateFAdd(error, ir_.CreateFMul(norm, b_.Float(0x1p-21)));
    return {step, norm, error, FloatFromBits(ir_.CreateShl(exponent, 23))};
  }

  // <lanes x i32>: pairwise sums of products of two int16 vectors, added to `sum`.
  Value* AddProducts(Value* q, Value* n, Value* sum) {
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
  Value* LoadInt8(Value* address, int count) {
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
  Value* DotInt8Row(Value* row) {
    constexpr int64_t kUnroll = 4;
    const auto add = [&](Value* column, int count, Value* sum) {
      Value* n = ir_.CreateAlignedLoad(IntVector(16, wide_lanes()), b_.At(n_, column, 2), llvm::Align(2));
      return AddProducts(LoadInt8(b_.At(row, column, 1), count), n, sum);
    };
    const int64_t step = kUnroll * wide_lanes();
    const int64_t main = shape_.k / step * step;
    Values sums(kUnroll, llvm::Constant::getNullValue(IntVector(32, lanes())));
    sums = b_.For(b_.I64(0), b_.I64(main), step, sums, [&](Value* column, const Values& carried) {
      for (int64_t line = 0; line < step; line += 64) {
        Prefetch(b_, b_.At(b_.At(row, column, 1), kPrefetchBytes + line));
      }
      Values next;
      for (int64_t part = 0; part < kUnroll; ++part) {
        Value* at = ir_.CreateAdd(column, b_.I64(part * wide_lanes()));
        next.push_back(add(at, wide_lanes(), carried[static_cast<size_t>(part)]));
      }
      return next;
    });
    for (int64_t column = main; column < shape_.k; column += wide_lanes()) {
      const auto count = static_cast<int>(std::min<int64_t>(wide_lanes(), shape_.k - column));
      Value*& sum = sums[static_cast<size_t>((column - main) / wide_lanes())];
      sum = add(b_.I64(column), count, sum);
    }
    return ir_.CreateAdd(ir_.CreateAdd(sums[0], sums[1]), ir_.CreateAdd(sums[2], sums[3]));
  }

  // <4 x i32>: q8[neuron] . n_ for each of the four neurons.
  Value* DotFourInt8Rows(Value* q8, const Values& neurons) {
    Values sums;
    for (Value* neuron : neurons) {
      sums.push_back(DotInt8Row(b_.At(q8, neuron, shape_.k)));
    }
    return SumEachOfFour(b_, sums);
  }

  // Column `index` of the four rows of (scale, residual_norm, norm, bias).
  Value* RowColumn(const Values& rows, int index) {
    Value* low = ir_.CreateShuffleVector(rows[0], rows[1], {index, 4 + index});
    Value* high = ir_.CreateShuffleVector(rows[2], rows[3], {index, 4 + index});
    return ir_.CreateShuffleVector(low, high, {0, 1, 2, 3});
  }

  // <4 x i1>
  Value* MaybePositive(const Input& input, const Values& neurons, Value* rows, Value* dots) {
    Values loaded;
    for (Value* neuron : neurons) {
      loaded.push_back(LoadFloats(b_, b_.At(rows, neuron, 16), DType::kF32, 4));
    }
    Value* scale = RowColumn(loaded, 0);
    Value* residual_norm = RowColumn(loaded, 1);
    Value* norm = RowColumn(loaded, 2);
    Value* bias = RowColumn(loaded, 3);
    const auto constant = [&](double value) { return Splat(b_, b_.Float(value), 4); };
    const auto splat = [&](Value* scalar) { return Splat(b_, scalar, 4); };
    Value* magnitude = ir_.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, bias);

    Value* sum = ir_.CreateFMul(ir_.CreateFMul(scale, splat(input.step)), ir_.CreateSIToFP(dots, b_.FloatVector(4)));
    Value* per_residual = ir_.CreateFAdd(input.norm, input.error);
    Value* per_norm = ir_.CreateFAdd(input.error, ir_.CreateFMul(input.norm, b_.Float(gamma_)));
    Value* margin =
        ir_.CreateFAdd(ir_.CreateFMul(residual_norm, splat(per_residual)), ir_.CreateFMul(norm, splat(per_norm)));
    sum = ir_.CreateFAdd(sum, ir_.CreateFMul(margin, constant(kSlack)));
    Value* rest = ir_.CreateFAdd(ir_.CreateFMul(magnitude, constant(gamma_ * kSlack)), constant(kTiny));
    rest = ir_.CreateFAdd(bias, rest);
    Value* total = ir_.CreateFAdd(ir_.CreateFMul(sum, splat(input.up)), rest);

    Value* scale_ok = ir_.CreateFCmpOGE(scale, constant(kLeastScale));
    scale_ok = ir_.CreateAnd(scale_ok, ir_.CreateFCmpOLE(norm, constant(kLargestNorm)));
    scale_ok = ir_.CreateOr(scale_ok, ir_.CreateFCmpOEQ(norm, constant(0)));
    Value* largest = ir_.CreateFMul(ir_.CreateFMul(norm, splat(input.norm)), splat(input.up));
    Value* sum_ok = ir_.CreateFCmpOLT(ir_.CreateFAdd(largest, magnitude), constant(kLargestSum));
    Value* negative = ir_.CreateFCmpOLT(total, constant(0));
    return ir_.CreateNot(ir_.CreateAnd(negative, ir_.CreateAnd(scale_ok, sum_ok)));
  }

  const CertifiedTestShape shape_;
  KernelBuilder b_;
  llvm::IRBuilder<>& ir_;
  const double gamma_;
  const int64_t levels_;  // n lies in [-levels_, levels_]
  Value* n_;              // i16 (PaddedWidth())
};

}  // namespace

void EmitCertifiedTest(EmitContext& context, const KernelSpec& spec) { CertifiedTestEmitter(context, spec).Emit(); }

}  // namespace dejavu
