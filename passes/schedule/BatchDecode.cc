// BatchDecode.cc: makes from @decode a function that decodes a token of each of several sequences.
//
// Rows don't meet, except in lists, which name what any row needs: so the copy has more rows and is else the same. It
// shares all weights with @decode. Sequences differ in length, so each has its own past, and its own part of a cache.
#include "ir/base/Phases.h"
#include "ir/core/Clone.h"
#include "passes/schedule/SchedulePasses.h"

namespace dejavu {
namespace {

/// The type of a value of @decode in a function for `sequences`.
Type OfBatch(Type type, int64_t sequences) {
  const bool is_past = type.dtype == DType::kI64 && type.rank() == 0;
  if (is_past) {
    type.shape.emplace_back(sequences);
  } else if (type.rank() == 4) {
    type.shape[0] = Dim(type.shape[0].size() * sequences);  // a cache
  } else if (type.dtype != DType::kIndex && type.rank() > 0) {
    type.shape[0] = Dim(sequences);
  }
  return type;
}

absl::Status CheckDecode(const Function& decode) {
  for (size_t i = 0; i < decode.num_arguments(); ++i) {
    const Type& type = decode.argument(i)->type();
    if (type.rank() == 4 && !type.shape[0].is_static()) {
      return UserError("argument '", decode.argument(i)->name(), "' of @decode must be a cache of keys and values");
    }
  }
  for (const auto& op : decode.ops()) {
    if (op->Is("sparse.lazy_attention")) {
      return UserError("batch-decode: ", op->Describe(),
                       " of @decode is for one sequence; use sparsify-attention{kv=dense}");
    }
    if (op->Is("sparse.quantized_active")) {
      return UserError("batch-decode: ", op->Describe(),
                       " of @decode is for one sequence; use exact sparsity or low-rank predictors");
    }
    for (size_t i = 0; i < op->num_results(); ++i) {
      const Type& type = op->result(i)->type();
      const bool is_row = type.rank() == 2 && type.shape[0] == Dim(int64_t{1});
      if ((!is_row && type.rank() != 4 && type.dtype != DType::kIndex) || op->Is("model.last_token")) {
        return UserError("batch-decode: ", op->Describe(), " of @decode gives ", type.ToString(),
                         ", which is no row of one token, list or cache");
      }
    }
  }
  return absl::OkStatus();
}

absl::Status BatchDecode(Module& module, PassContext& context) {
  ASSIGN_OR_RETURN(const int64_t sequences, context.IntOption("sequences"));
  if (sequences < 2 || sequences > kMaxSequences) {
    return UsageError("batch-decode: option 'sequences' must be from 2 to ", kMaxSequences, ", but is ", sequences);
  }
  const Function* decode = module.FindFunction("decode");
  if (decode == nullptr || module.stage() != "sparse") {
    return UserError("batch-decode expects a function @decode in [sparse]; run insert-predictors before it");
  }
  if (module.FindFunction(DecodeName(sequences)) != nullptr) {
    return UserError("batch-decode: the module has a function @", DecodeName(sequences), " already");
  }
  RETURN_IF_ERROR(CheckDecode(*decode));
  Function* batch = CloneFunction(module, *decode, DecodeName(sequences), {});
  Value* past = nullptr;
  for (size_t i = 0; i < batch->num_arguments(); ++i) {
    Value* argument = batch->argument(i);
    past = argument->type() == Type{DType::kI64, {}} ? argument : past;
    argument->set_type(OfBatch(argument->type(), sequences));
  }
  if (past == nullptr) {
    return UserError("batch-decode expects @decode to take the number of tokens in the cache, an i64<>");
  }
  for (const auto& op : batch->ops()) {
    for (size_t i = 0; i < op->num_results(); ++i) {
      op->result(i)->set_type(OfBatch(op->result(i)->type(), sequences));
    }
    const int port = op->schema().OperandIndex("past");
    if (port < 0) {
      continue;
    }
    while (op->num_operands() <= static_cast<size_t>(port)) {
      op->AddOperand(nullptr);
    }
    op->SetOperand(static_cast<size_t>(port), past);
  }
  context.Count("functions");
  return absl::OkStatus();
}

constexpr PassOption kBatchDecodeOptions[] = {{"sequences", "2", "how many sequences, from 2 to 8"}};

}  // namespace

const PassInfo kBatchDecodePass = {
    .name = "batch-decode",
    .summary = "Makes from @decode a function for a token of each of several sequences, which reads each weight once.",
    .example =
        R"(before  func @decode(%tokens: i32<1>, %past: i64<>, %kv0: f32<2, 12, past, 64>)   %a = sparse.select(%s)
after   func @decode_4(%tokens: i32<4>, %past: i64<4>, %kv0: f32<8, 12, past, 64>)   %a, a union, = sparse.select(%s))",
    .promise = Promise::kBits,
    .options = kBatchDecodeOptions,
    .run = BatchDecode};

}  // namespace dejavu
