// compact and select: lists of what flags or scores choose.
#include "codegen/cpu/CpuKernels.h"
#include "codegen/cpu/IndexList.h"
#include "codegen/cpu/KernelBuilder.h"
#include "codegen/cpu/VectorOps.h"
#include "codegen/target/KernelShapes.h"

namespace dejavu {

using llvm::Value;

void EmitCompact(EmitContext& context, const KernelSpec& spec) {
  const CompactShape shape = MatchCompact(spec).value();
  KernelBuilder b(context, CpuSymbol(spec));
  llvm::IRBuilder<>& ir = b.ir();
  Value* flags = b.Arg(0);
  EmitList(b, shape.n, b.Arg(1), [&](Value* start, int size) {
    auto* type = llvm::FixedVectorType::get(ir.getInt8Ty(), static_cast<unsigned>(size));
    Value* block = ir.CreateAlignedLoad(type, b.At(flags, start, 1), llvm::Align(1));
    return ir.CreateICmpNE(block, llvm::Constant::getNullValue(type));
  });
  b.Finish();
}

void EmitSelect(EmitContext& context, const KernelSpec& spec) {
  const SelectShape shape = MatchSelect(spec).value();
  KernelBuilder b(context, CpuSymbol(spec));
  Value* scores = b.Arg(0);
  EmitList(b, shape.n, b.Arg(1), [&](Value* start, int size) {
    Value* block = LoadFloats(b, b.At(scores, start, 4), DType::kF32, size);
    return b.ir().CreateFCmpUGT(block, ZeroVector(b, size));
  });
  b.Finish();
}

}  // namespace dejavu
