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
#include "codegen/cpu/CpuKernels.h"
#include "codegen/cpu/Int8Rows.h"
#include "codegen/cpu/KernelBuilder.h"
#include "codegen/cpu/VectorOps.h"
#include "codegen/target/KernelShapes.h"
#include "llvm/IR/Intrinsics.h"

namespace dejavu {
namespace {

using llvm::Value;

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
        products_(b_, shape_.k) {}

  void Emit() {
    Value* x = b_.Arg(0);
    Value* q8 = b_.Arg(1);
    Value* rows = b_.Arg(2);
    Value* flags = b_.Arg(3);
    const Range all = b_.Share(b_.I64((shape_.n + Int8Rows::kRows - 1) / Int8Rows::kRows));
    products_.ForTokens(all, shape_.tokens, [&](const Range& blocks, Value* token) {
      Value* x_row = b_.At(x, token, 4 * shape_.k);
      Value* largest = products_.LargestBits(x_row);
      Value* finite = products_.IsFinite(largest);
      b_.If(ir_.CreateNot(finite), [&] {
        b_.For(blocks.begin, blocks.end, 1, [&](Value* block) {
          for (Value* neuron : products_.RowsOf(block, shape_.n)) {
            StoreFlag(ir_.getTrue(), flags, neuron, token);
          }
        });
      });
      b_.If(finite, [&] {
        const Int8Rows::Input input = products_.Quantize(x_row, largest);
        b_.For(blocks.begin, blocks.end, 1, [&](Value* block) {
          const Values neurons = products_.RowsOf(block, shape_.n);
          Value* maybe_positive = MaybePositive(input, neurons, rows, products_.DotFour(q8, neurons));
          for (size_t r = 0; r < Int8Rows::kRows; ++r) {
            StoreFlag(ir_.CreateExtractElement(maybe_positive, r), flags, neurons[r], token);
          }
        });
      });
    });
    b_.Finish();
  }

 private:
  // Sets the flag for the first token, and adds to it what a later one needs.
  void StoreFlag(Value* flag, Value* flags, Value* neuron, Value* token) {
    Value* address = b_.At(flags, neuron, 1);
    Value* byte = ir_.CreateZExt(flag, ir_.getInt8Ty());
    if (shape_.tokens > 1) {
      Value* before = ir_.CreateAlignedLoad(ir_.getInt8Ty(), address, llvm::Align(1));
      Value* is_first = ir_.CreateICmpEQ(token, b_.I64(0));
      byte = ir_.CreateOr(byte, ir_.CreateSelect(is_first, ir_.getInt8(0), before));
    }
    ir_.CreateAlignedStore(byte, address, llvm::Align(1));
  }

  // Column `index` of the four rows of (scale, residual_norm, norm, bias).
  Value* RowColumn(const Values& rows, int index) {
    Value* low = ir_.CreateShuffleVector(rows[0], rows[1], {index, 4 + index});
    Value* high = ir_.CreateShuffleVector(rows[2], rows[3], {index, 4 + index});
    return ir_.CreateShuffleVector(low, high, {0, 1, 2, 3});
  }

  // <4 x i1>
  Value* MaybePositive(const Int8Rows::Input& input, const Values& neurons, Value* rows, Value* dots) {
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
  Int8Rows products_;
};

}  // namespace

void EmitCertifiedTest(EmitContext& context, const KernelSpec& spec) { CertifiedTestEmitter(context, spec).Emit(); }

}  // namespace dejavu
