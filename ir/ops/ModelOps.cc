#include "ir/ops/ModelOps.h"

#include <cmath>

#include "ir/base/PredictorRows.h"
#include "ir/base/QuantizedCopy.h"
#include "ir/base/Status.h"
#include "ir/core/Operation.h"
#include "ir/ops/SchedOps.h"
#include "ir/ops/SparseOps.h"

namespace dejavu {
namespace {

/// [c1]: the cache's heads times their size are the model's width.
absl::Status CheckHeads(const Operation& op, const Type& cache, int64_t hidden) {
  const Dim& heads = cache.shape[1];
  const Dim& head_dim = cache.shape[3];
  if (!heads.is_static() || !head_dim.is_static() || heads.size() * head_dim.size() != hidden) {
    return UserError("'", std::string(op.name()), "' op operand 'cache' must have heads * head_dim = ", hidden,
                     ", but is ", cache.ToString());
  }
  return absl::OkStatus();
}

/// [c2]: a cache is of one sequence, or of as many as the batch has.
absl::Status CheckSequences(const Operation& op, const Dim& tokens, const Type& cache) {
  const bool batch = op.schema().OperandIndex("past") >= 0 && op.operand("past") != nullptr;
  if (batch && !tokens.is_static()) {
    return UserError(op.Describe(), " has a past for each sequence of a batch, whose size must be a number, not ",
                     tokens.ToString(), " [c2]");
  }
  if (const Dim expected(batch ? 2 * tokens.size() : 2); cache.shape[0] != expected) {
    return UserError("'", std::string(op.name()), "' op operand 'cache' must have ", expected.ToString(),
                     batch ? " parts, keys and values of each sequence" : " parts, keys and values", ", but is ",
                     cache.ToString(), " [c2]");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status VerifyPast(const Operation& op) {
  const Type& past = op.operand("past")->type();
  const Dim& tokens = op.operand("x")->type().shape[0];
  const bool batch = past.rank() == 1 && past.shape[0] == tokens && tokens.is_static();
  return past.rank() == 0 || batch ? absl::OkStatus()
                                   : UserError(op.Describe(), " operand 'past' must be i64<>, or for a batch i64<",
                                               tokens.ToString(), ">, but is ", past.ToString(), " [c1]");
}

absl::Status VerifyAttentionHeads(const Operation& op) {
  const Type& x = op.operand("x")->type();
  if (!x.shape[1].is_static()) {
    return UserError("'", std::string(op.name()), "' op operand 'x' must have a fixed width, but is ", x.ToString());
  }
  const Type& cache = op.operand("cache")->type();
  RETURN_IF_ERROR(CheckSequences(op, x.shape[0], cache));
  return CheckHeads(op, cache, x.shape[1].size());
}

absl::Status VerifyNorm(const Operation& op) {
  const auto epsilon = op.GetAttribute<double>("epsilon");
  const bool gamma = op.operand("gamma") != nullptr;
  if (gamma != (op.operand("beta") != nullptr) || gamma != epsilon.has_value()) {
    return UserError(op.Describe(), " has a layer norm with gamma, beta and epsilon, or none of them [c1]");
  }
  if (!gamma) {
    return absl::OkStatus();
  }
  const Dim& tokens = op.operand("x")->type().shape[0];
  if (!tokens.is_static() || tokens.size() != 1) {
    return UserError(op.Describe(), " can normalise the x of one token only, but has ", tokens.ToString(), " [c2]");
  }
  return *epsilon >= 0 ? absl::OkStatus() : UserError(op.Describe(), " attribute 'epsilon' must not be negative [c3]");
}

absl::Status VerifyLaunchAttention(const Operation& op) {
  const Type& cache = op.operand("cache")->type();
  RETURN_IF_ERROR(CheckHeads(op, cache, op.operand("qkv")->type().shape[1].size() / 3));
  if (Dim(*op.GetAttribute<int64_t>("heads")) != cache.shape[1]) {
    return UserError("'", std::string(op.name()), "' op attribute 'heads' must be the cache's ",
                     cache.shape[1].ToString());
  }
  const Dim& tokens = op.operand("qkv")->type().shape[0];
  RETURN_IF_ERROR(CheckSequences(op, tokens, cache));
  if (op.operand("active_heads") != nullptr && tokens != Dim(int64_t{1}) && op.operand("past") == nullptr) {
    return UserError(op.Describe(), " can choose the heads of one token or of a batch, but has ", tokens.ToString(),
                     " [c3]");
  }
  return absl::OkStatus();
}

absl::Status VerifyLaunchHeads(const Operation& op) {
  if (op.schema().OperandIndex("gamma") >= 0) {
    RETURN_IF_ERROR(VerifyNorm(op));
  }
  const int64_t heads = *op.GetAttribute<int64_t>("heads");
  const Dim& width = op.operand("x")->type().shape[1];
  if (heads < 1 || !width.is_static() || width.size() % heads != 0) {
    return UserError(op.Describe(), " attribute 'heads' must divide the width ", width.ToString(), ", but is ", heads,
                     " [c4]");
  }
  return absl::OkStatus();
}

absl::Status VerifyLazyQkv(const Operation& op) {
  RETURN_IF_ERROR(VerifyLaunchHeads(op));
  const Type& cache = op.operand("cache")->type();
  const int64_t heads = *op.GetAttribute<int64_t>("heads");
  const int64_t width = op.operand("x")->type().shape[1].size();
  return cache.shape[1] == Dim(heads) && cache.shape[3] == Dim(width / heads)
             ? absl::OkStatus()
             : UserError(op.Describe(), " operand 'cache' must have ", heads, " heads of ", width / heads, ", but is ",
                         cache.ToString(), " [c5]");
}

namespace {

/// What a list of neurons is made of: as many flags or scores, or rows of a copy; null for one that is given.
const Dim* NumberedBy(const Operation& list) {
  for (const auto& [port, axis] :
       {std::pair("scores", 1), std::pair("flags", 0), std::pair("q8", 0), std::pair("copy", 0)}) {
    if (list.schema().OperandIndex(port) >= 0) {
      return &list.operand(port)->type().shape[axis];
    }
  }
  return nullptr;
}

/// Of a cascade: its list and its copy are of the same neurons.
absl::Status VerifyCandidates(const Operation& op) {
  const Operation* list = op.operand("among") == nullptr ? nullptr : op.operand("among")->producer();
  if (list == nullptr) {
    return absl::OkStatus();
  }
  const Dim& rows = op.operand("copy")->type().shape[0];
  const Dim* numbered = NumberedBy(*list);
  if (numbered != nullptr && *numbered != rows) {
    return UserError("'", std::string(op.name()), "' op operand 'among' must choose among ", rows.ToString(),
                     " neurons, as many as 'copy' has rows, but chooses among ", numbered->ToString(), " [c6]");
  }
  const auto layer = op.GetAttribute<int64_t>("layer");
  const auto of_list = list->GetAttribute<int64_t>("layer");
  return layer && of_list && *layer != *of_list
             ? UserError("'", std::string(op.name()), "' op operand 'among' must list neurons of layer ", *layer,
                         ", but those are of layer ", *of_list, " [c6]")
             : absl::OkStatus();
}

}  // namespace

absl::Status VerifyQuantizedActive(const Operation& op) {
  const std::string name = absl::StrCat("'", std::string(op.name()), "' op ");
  const int64_t bits = *op.GetAttribute<int64_t>("bits");
  const int64_t group = *op.GetAttribute<int64_t>("group");
  const Dim& width = op.operand("x")->type().shape[1];
  if (!IsCopyBits(bits)) {
    return UserError(name, "attribute 'bits' must be 2, 3, 4 or 8, but is ", bits, " [c1]");
  }
  if (!IsCopyGroup(group)) {
    return UserError(name, "attribute 'group' must be 32, 64 or 128, but is ", group, " [c2]");
  }
  if (!width.is_static()) {
    return UserError(name, "operand 'x' must have a fixed width, but is ", op.operand("x")->type().ToString());
  }
  const Type& copy = op.operand("copy")->type();
  const int64_t bytes = CopyRowBytes(bits, width.size());
  if (copy.shape[1] != Dim(bytes)) {
    return UserError(name, "operand 'copy' must have ", bytes, " bytes for each row of ", width.size(), " columns of ",
                     bits, " bits, but is ", copy.ToString(), " [c3]");
  }
  const Type& scales = op.operand("group_scales")->type();
  const int64_t groups = CopyGroups(width.size(), group);
  if (scales.shape[1] != Dim(groups)) {
    return UserError(name, "operand 'group_scales' must have ", groups, " scales for each row, but is ",
                     scales.ToString(), " [c4]");
  }
  return std::isfinite(*op.GetAttribute<double>("margin"))
             ? VerifyCandidates(op)
             : UserError(name, "attribute 'margin' must be a finite number [c5]");
}

absl::Status VerifyQuantizedTest(const Operation& op) {
  RETURN_IF_ERROR(VerifyNorm(op));
  return VerifyQuantizedActive(op);
}

absl::Status VerifyQuantizedLinear(const Operation& op) {
  const Type& q8 = op.operand("q8")->type();
  const Dim& width = op.operand("x")->type().shape[1];
  const Dim& bytes = q8.shape[1];
  const bool known = width.is_static() && bytes.is_static();
  return known ? PredictorBits(bytes.size(), width.size()) > 0
                     ? absl::OkStatus()
                     : UserError("'", std::string(op.name()), "' op operand 'q8' must have ", width.size(),
                                 " bytes a row, or half as many where x has a multiple of 32 columns, but is ",
                                 q8.ToString(), " [c1]")
               : UserError("'", std::string(op.name()), "' op must have a fixed width");
}

absl::Status VerifyLaunchQuantizedLinear(const Operation& op) {
  RETURN_IF_ERROR(VerifyNorm(op));
  return VerifyQuantizedLinear(op);
}

absl::Status VerifySelect(const Operation& op) {
  const int64_t scores = op.operand("scores")->type().shape[1].size();
  const auto k = op.GetAttribute<int64_t>("k");
  if (k && (*k < 1 || *k > scores)) {
    return UserError("'", std::string(op.name()), "' op attribute 'k' must be from 1 to the number of scores, ", scores,
                     ", but is ", *k);
  }
  const Type& list = op.result()->type();
  if (list.shape[0] != Dim("active") && list.shape[0] != Dim("heads")) {
    return UserError("'", std::string(op.name()),
                     "' op result #0 ('list') must be index<active> or index<heads>, but is ", list.ToString());
  }
  return absl::OkStatus();
}

}  // namespace dejavu
