// compact and select: lists of what flags or scores choose, by the first thread alone.
#include <vector>

#include "codegen/cpu/CpuKernels.h"
#include "codegen/cpu/IndexList.h"
#include "codegen/cpu/KernelBuilder.h"
#include "codegen/cpu/VectorOps.h"
#include "codegen/target/KernelShapes.h"
#include "llvm/IR/Intrinsics.h"

namespace dejavu {
namespace {

using llvm::Value;

void OnFirstThread(KernelBuilder& b, llvm::function_ref<void()> body) {
  b.If(b.ir().CreateICmpEQ(b.thread(), b.I64(0)), body);
  b.Finish();
}

// The k largest of n scores, by their ranks: integers that are ordered as the scores are, with equal zeros and NaN
// above infinity. The rank of the last one is found bit by bit from above; of the scores that have it, the first count.
class LargestEmitter {
 public:
  LargestEmitter(KernelBuilder& b, const SelectShape& shape, Value* scores)
      : b_(b), ir_(b.ir()), shape_(shape), scores_(scores) {}

  // Finds out what is chosen; before Chosen().
  void Find() {
    threshold_ = Threshold();
    Value* above = Count([&](Value* ranks) { return ir_.CreateICmpUGT(ranks, SplatInt(threshold_, ranks)); });
    last_ = LastTie(threshold_, ir_.CreateSub(b_.I64(shape_.k), above));
  }

  // <size x i1>
  Value* Chosen(Value* start, int size) {
    Value* ranks = Ranks(start, size);
    Value* tie = ir_.CreateICmpEQ(ranks, SplatInt(threshold_, ranks));
    Value* is_counted = ir_.CreateICmpSLE(Numbers(start, size), ir_.CreateVectorSplat(size, last_));
    Value* larger = ir_.CreateICmpUGT(ranks, SplatInt(threshold_, ranks));
    return ir_.CreateOr(larger, ir_.CreateAnd(tie, is_counted));
  }

 private:
  using TestFn = llvm::function_ref<Value*(Value* ranks)>;

  // <size x i32>
  Value* Ranks(Value* start, int size) {
    Value* scores = LoadFloats(b_, b_.At(scores_, start, 4), DType::kF32, size);
    auto* type = llvm::FixedVectorType::get(ir_.getInt32Ty(), static_cast<unsigned>(size));
    // -0 + 0 is 0.
    Value* bits = ir_.CreateBitCast(ir_.CreateFAdd(scores, ZeroVector(b_, size)), type);
    Value* sign = ir_.CreateAShr(bits, 31);
    Value* ranks = ir_.CreateXor(bits, ir_.CreateOr(sign, llvm::ConstantInt::get(type, 0x80000000)));
    return ir_.CreateSelect(ir_.CreateFCmpUNO(scores, scores), llvm::Constant::getAllOnesValue(type), ranks);
  }

  // <size x i64>: start, start + 1, ...
  Value* Numbers(Value* start, int size) {
    llvm::SmallVector<llvm::Constant*, 64> steps;
    for (int i = 0; i < size; ++i) {
      steps.push_back(ir_.getInt64(static_cast<uint64_t>(i)));
    }
    return ir_.CreateAdd(ir_.CreateVectorSplat(static_cast<unsigned>(size), start), llvm::ConstantVector::get(steps));
  }

  Value* SplatInt(Value* scalar, Value* like) {
    return ir_.CreateVectorSplat(llvm::cast<llvm::FixedVectorType>(like->getType())->getNumElements(), scalar);
  }

  // How many ranks pass the test, i64.
  Value* Count(TestFn test) {
    const Values zero = {b_.I64(0)};
    const Values count = ForColumns(b_, shape_.n, zero, [&](Value* start, int size, const Values& carried) {
      Value* bits = ir_.CreateBitCast(test(Ranks(start, size)), ir_.getIntNTy(static_cast<unsigned>(size)));
      Value* found = ir_.CreateUnaryIntrinsic(llvm::Intrinsic::ctpop, ir_.CreateZExt(bits, ir_.getInt64Ty()));
      return Values{ir_.CreateAdd(carried[0], found)};
    });
    return count[0];
  }

  // The largest rank that at least k scores reach, i32.
  Value* Threshold() {
    const Values initial = {ir_.getInt32(0)};
    const Values found = b_.For(b_.I64(0), b_.I64(32), 1, initial, [&](Value* step, const Values& carried) {
      Value* shift = ir_.CreateSub(ir_.getInt32(31), ir_.CreateTrunc(step, ir_.getInt32Ty()));
      Value* candidate = ir_.CreateOr(carried[0], ir_.CreateShl(ir_.getInt32(1), shift));
      Value* count = Count([&](Value* ranks) { return ir_.CreateICmpUGE(ranks, SplatInt(candidate, ranks)); });
      return Values{ir_.CreateSelect(ir_.CreateICmpSGE(count, b_.I64(shape_.k)), candidate, carried[0])};
    });
    return found[0];
  }

  // The number of the score that is the `ties`-th one of rank `threshold`.
  Value* LastTie(Value* threshold, Value* ties) {
    const Values initial = {b_.I64(0), b_.I64(0)};
    const Values found = b_.For(b_.I64(0), b_.I64(shape_.n), 1, initial, [&](Value* i, const Values& carried) {
      Value* rank = ir_.CreateExtractElement(Ranks(i, 1), uint64_t{0});
      Value* takes = ir_.CreateAnd(ir_.CreateICmpEQ(rank, threshold), ir_.CreateICmpSLT(carried[0], ties));
      return Values{ir_.CreateAdd(carried[0], ir_.CreateZExt(takes, ir_.getInt64Ty())),
                    ir_.CreateSelect(takes, i, carried[1])};
    });
    return found[1];
  }

  KernelBuilder& b_;
  llvm::IRBuilder<>& ir_;
  const SelectShape shape_;
  Value* scores_;
  Value* threshold_ = nullptr;  // the rank of the last score that is chosen
  Value* last_ = nullptr;       // the number of the last one of that rank
};

// There are some flags for each that is set: one at a time is fast enough.
void EmitListAmong(KernelBuilder& b, Value* flags, Value* among, Value* active) {
  llvm::IRBuilder<>& ir = b.ir();
  Value* entries = LoadI32(b, among, b.I64(0));
  const Values count = b.For(b.I64(0), entries, 1, {b.I64(0)}, [&](Value* i, const Values& carried) {
    // The count never passes i, so the store that is only kept for a set flag stays inside the list.
    StoreI32(b, LoadI32(b, b.At(among, kNumbersOffset), i), b.At(active, kNumbersOffset), carried[0]);
    Value* flag = ir.CreateAlignedLoad(ir.getInt8Ty(), b.At(flags, i, 1), llvm::Align(1));
    Value* set = ir.CreateICmpNE(flag, ir.getInt8(0));
    return Values{ir.CreateAdd(carried[0], ir.CreateZExt(set, ir.getInt64Ty()))};
  });
  StoreI32(b, count[0], active, b.I64(0));
}

}  // namespace

void EmitCompact(EmitContext& context, const KernelSpec& spec) {
  const CompactShape shape = MatchCompact(spec).value();
  KernelBuilder b(context, CpuSymbol(spec));
  llvm::IRBuilder<>& ir = b.ir();
  Value* flags = b.Arg(0);
  Value* among = b.Arg(1);
  Value* active = b.Arg(2);
  if (shape.among) {
    OnFirstThread(b, [&] { EmitListAmong(b, flags, among, active); });
    return;
  }
  OnFirstThread(b, [&] {
    EmitList(b, shape.n, active, [&](Value* start, int size) {
      auto* type = llvm::FixedVectorType::get(ir.getInt8Ty(), static_cast<unsigned>(size));
      Value* block = ir.CreateAlignedLoad(type, b.At(flags, start, 1), llvm::Align(1));
      return ir.CreateICmpNE(block, llvm::Constant::getNullValue(type));
    });
  });
}

void EmitSelect(EmitContext& context, const KernelSpec& spec) {
  const SelectShape shape = MatchSelect(spec).value();
  KernelBuilder b(context, CpuSymbol(spec));
  Value* list = b.Arg(1);
  Values scores;  // of each token
  for (int64_t token = 0; token < shape.tokens; ++token) {
    scores.push_back(b.At(b.Arg(0), 4 * shape.n * token));
  }
  OnFirstThread(b, [&] {
    std::vector<LargestEmitter> largest;
    for (Value* row : scores) {
      largest.emplace_back(b, shape, row);
      if (shape.k > 0) {
        largest.back().Find();
      }
    }
    EmitList(b, shape.n, list, [&](Value* start, int size) {
      Value* chosen = nullptr;
      for (size_t token = 0; token < scores.size(); ++token) {
        Value* of_token = nullptr;
        if (shape.k > 0) {
          of_token = largest[token].Chosen(start, size);
        } else {
          Value* block = LoadFloats(b, b.At(scores[token], start, 4), DType::kF32, size);
          of_token = b.ir().CreateFCmpUGT(block, ZeroVector(b, size));
        }
        chosen = chosen == nullptr ? of_token : b.ir().CreateOr(chosen, of_token);
      }
      return chosen;
    });
  });
}

}  // namespace dejavu
