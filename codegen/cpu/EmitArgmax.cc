// argmax: the likeliest token, found by one thread for each sequence; there are few logits beside the weights that they
// come from.
#include "codegen/cpu/CpuKernels.h"
#include "codegen/cpu/KernelBuilder.h"
#include "codegen/cpu/VectorOps.h"
#include "codegen/target/KernelShapes.h"

namespace dejavu {
namespace {

using llvm::Value;

constexpr unsigned kMostLanes = 16;

/// The best so far: a logit and its number, -1 for none; for a logit that is not below infinity, infinity and -1, which
/// nothing is better than.
struct Best {
  Value* logit;
  Value* number;
};

/// The better of `best` and the logits `x` with the higher numbers `i`, lane by lane.
Best Take(KernelBuilder& b, const Best& best, Value* x, Value* i) {
  llvm::IRBuilder<>& ir = b.ir();
  Value* infinity = llvm::ConstantFP::getInfinity(x->getType());
  Value* is_number = ir.CreateFCmpOLT(x, infinity);
  Value* logit = ir.CreateSelect(is_number, x, infinity);
  Value* number = ir.CreateSelect(is_number, i, llvm::ConstantInt::getSigned(i->getType(), -1));
  Value* better = ir.CreateFCmpOGT(logit, best.logit);
  return {ir.CreateSelect(better, logit, best.logit), ir.CreateSelect(better, number, best.number)};
}

Best None(llvm::Type* logit, llvm::Type* number) {
  return {llvm::ConstantFP::getInfinity(logit, /*Negative=*/true), llvm::ConstantInt::getSigned(number, -1)};
}

/// The best lane, that with the lower number among equal ones.
Best BestLane(KernelBuilder& b, const Best& lanes, int count) {
  llvm::IRBuilder<>& ir = b.ir();
  Best best = None(b.F32(), ir.getInt32Ty());
  for (int lane = 0; lane < count; ++lane) {
    const auto at = static_cast<uint64_t>(lane);
    Value* logit = ir.CreateExtractElement(lanes.logit, at);
    Value* number = ir.CreateExtractElement(lanes.number, at);
    Value* lower = ir.CreateAnd(ir.CreateFCmpOEQ(logit, best.logit), ir.CreateICmpULT(number, best.number));
    Value* better = ir.CreateOr(ir.CreateFCmpOGT(logit, best.logit), lower);
    best = {ir.CreateSelect(better, logit, best.logit), ir.CreateSelect(better, number, best.number)};
  }
  return best;
}

}  // namespace

void EmitArgmax(EmitContext& context, const KernelSpec& spec) {
  const ArgmaxShape shape = MatchArgmax(spec).value();
  KernelBuilder b(context, CpuSymbol(spec));
  llvm::IRBuilder<>& ir = b.ir();
  const int lanes = b.lanes();
  const int64_t main = shape.n / lanes * lanes;
  auto* numbers = llvm::FixedVectorType::get(ir.getInt32Ty(), static_cast<unsigned>(lanes));
  llvm::SmallVector<llvm::Constant*, kMostLanes> count_up;
  for (int lane = 0; lane < lanes; ++lane) {
    count_up.push_back(ir.getInt32(static_cast<uint32_t>(lane)));
  }
  // Threads share the tokens.
  const Range tokens = b.Share(b.I64(shape.tokens));
  b.For(tokens.begin, tokens.end, 1, [&](Value* token) {
    Value* logits = b.At(b.Arg(0), token, 4 * shape.n);
    const Best none = None(b.FloatVector(lanes), numbers);
    const Values wide = b.For(b.I64(0), b.I64(main), lanes, {none.logit, none.number}, [&](Value* i, const Values& c) {
      Value* first = ir.CreateVectorSplat(static_cast<unsigned>(lanes), ir.CreateTrunc(i, ir.getInt32Ty()));
      Value* x = LoadFloats(b, b.At(logits, i, 4), DType::kF32, lanes);
      const Best best = Take(b, {c[0], c[1]}, x, ir.CreateAdd(first, llvm::ConstantVector::get(count_up)));
      return Values{best.logit, best.number};
    });
    const Best lane = BestLane(b, {wide[0], wide[1]}, lanes);
    const Values last =
        b.For(b.I64(main), b.I64(shape.n), 1, {lane.logit, lane.number}, [&](Value* i, const Values& c) {
          const Best best = Take(b, {c[0], c[1]}, b.LoadFloat(logits, i), ir.CreateTrunc(i, ir.getInt32Ty()));
          return Values{best.logit, best.number};
        });
    ir.CreateAlignedStore(last[1], b.At(b.Arg(1), token, 4), llvm::Align(4));
  });
  b.Finish();
}

}  // namespace dejavu
