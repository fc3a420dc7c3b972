// Joint kernels: launches of which none waits for another, as one. Two forms:
//
// - Side by side: each part has blocks of its own, all of as many threads as those of the first.
// - Through one ring: the products of predictors with the vector of a larger product go through its ring before its own
//   rows, several of theirs in the place of one. The ring never runs empty, and what starts and ends of launches cost
//   is paid once.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "codegen/cuda/CudaBackend.h"
#include "codegen/cuda/Describe.h"
#include "codegen/target/KernelShapes.h"

namespace dejavu::describe {
namespace {

// A block of few threads would take longer for more than what runs beside it.
constexpr int64_t kMostScoresBeside = 1 << 16;

bool SameNorm(const Norm& a, const Norm& b) { return a.on == b.on && a.epsilon == b.epsilon; }

/// Rows of the quantized_linear `part` that have the bytes of a row of halves.
int64_t RowsInOne(const KernelSpec& part) { return 16 / MatchQuantizedLinear(part).value().bits; }

/// Whether the rows of `part` can go through the ring of `product` before its own.
bool GoesFirst(const KernelSpec& part, const KernelSpec& product) {
  if (part.kernel != "quantized_linear") {
    return false;
  }
  const QuantizedLinearShape s = MatchQuantizedLinear(part).value();
  const Norm norm = product.kernel == "linear"     ? MatchLinear(product).value().norm
                    : product.kernel == "lazy_qkv" ? MatchLazyQkv(product).value().norm
                                                   : MatchSparseQkv(product).value().norm;
  return s.n % RowsInOne(part) == 0 && s.k == product.operands[1]->shape[1].size() && SameNorm(s.norm, norm);
}

/// Whether all parts are for one token: those of batches take all of a multiprocessor.
bool IsOfOneToken(const KernelSpec& spec) {
  return std::all_of(spec.parts.begin(), spec.parts.end(), [](const KernelSpec& part) {
    const Type& first = *part.operands.front();  // x, qkv or scores
    return first.rank() == 2 && first.shape[0] == Dim(1);
  });
}

bool ThroughOneRing(const KernelSpec& spec, std::string_view isa) {
  const KernelSpec& product = spec.parts.front();
  if (!spec.attributes.contains(kSameInput) ||
      !std::all_of(spec.parts.begin() + 1, spec.parts.end(),
                   [&](const KernelSpec& part) { return GoesFirst(part, product); })) {
    return false;
  }
  const int64_t rows = RowsInOne(spec.parts[1]);
  return RingTakesSeveral(product, rows, isa) &&
         std::all_of(spec.parts.begin() + 2, spec.parts.end(),
                     [&](const KernelSpec& part) { return RowsInOne(part) == rows; });
}

bool SideBySide(const KernelSpec& spec) {
  const KernelSpec& first = spec.parts.front();
  const bool makes_room =
      first.kernel == "sparse_out" || first.kernel == "attention" || first.kernel == "lazy_attention";
  return makes_room && std::all_of(spec.parts.begin() + 1, spec.parts.end(), [](const KernelSpec& part) {
           if (part.kernel == "select") {
             const SelectShape s = MatchSelect(part).value();
             return s.k == 0 && s.n <= kMostScoresBeside;
           }
           return part.kernel == "quantized_linear";
         });
}

/// The parts of a joint kernel whose blocks are side by side.
struct Sides {
  std::vector<CudaKernel> kernels;
  size_t largest = 0;  // has all blocks that the others leave
  LaunchGrid grid;
};

Sides SidesOf(const KernelSpec& spec, std::string_view isa) {
  const KernelSpec& first = spec.parts.front();
  Sides sides;
  sides.kernels.push_back(first.kernel == "sparse_out" ? SparseOut(first, isa) : Attention(first, isa));
  const int64_t threads = sides.kernels.front().grid.threads;
  for (size_t i = 1; i < spec.parts.size(); ++i) {
    const KernelSpec& part = spec.parts[i];
    sides.kernels.push_back(part.kernel == "select" ? SelectBy(part, threads) : QuantizedLinearBy(part, threads));
  }
  sides.grid = {.blocks = 0, .per_sm = kThreadsPerSm / threads, .threads = threads, .early = true};
  for (size_t i = 0; i < sides.kernels.size(); ++i) {
    const LaunchGrid& grid = sides.kernels[i].grid;
    sides.grid.blocks += grid.blocks;
    sides.grid.per_sm = grid.per_sm > 0 ? std::min(sides.grid.per_sm, grid.per_sm) : sides.grid.per_sm;
    sides.grid.shared = std::max(sides.grid.shared, grid.shared);
    sides.grid.scratch = std::max(sides.grid.scratch, grid.scratch);
    sides.largest = grid.blocks > sides.kernels[sides.largest].grid.blocks ? i : sides.largest;
  }
  return sides;
}

std::string Arguments(const CudaKernel& kernel, size_t part) {
  std::string text;
  for (const std::string_view arg : kernel.args) {
    absl::StrAppend(&text, absl::string_view(arg.data(), arg.size()), part, ", ");
  }
  return text;
}

std::string Call(const CudaKernel& kernel) {
  return absl::StrCat(absl::string_view(kernel.function.data(), kernel.function.size()), "<", kernel.shape.Text(), ">");
}

std::string BodyOf(const Sides& sides) {
  const int64_t fixed = sides.grid.blocks - sides.kernels[sides.largest].grid.blocks;
  std::string text = absl::StrCat("  JointParts parts(", fixed, ");\n");
  const auto add = [&](size_t i, int64_t blocks) {
    const CudaKernel& kernel = sides.kernels[i];
    absl::StrAppend(&text, "  if (const Grid grid = parts.Next(", blocks, "); JointParts::HasWork(grid)) {\n    ",
                    Call(kernel), "(\n        ", Arguments(kernel, i), "dims, grid",
                    kernel.grid.scratch > 0 ? ", scratch" : "", ");\n  }\n");
  };
  for (size_t i = 0; i < sides.kernels.size(); ++i) {
    if (i != sides.largest) {
      add(i, sides.kernels[i].grid.blocks);
    }
  }
  add(sides.largest, 0);
  return text;
}

CudaKernel ProductOf(const KernelSpec& spec, std::string_view isa) {
  return spec.kernel == "linear"     ? Linear(spec, isa)
         : spec.kernel == "lazy_qkv" ? LazyQkv(spec, isa)
                                     : SparseQkv(spec, isa);
}

void EmitThroughOneRing(CudaSource& source, std::string_view symbol, const KernelSpec& spec) {
  std::vector<CudaKernel> kernels = {ProductOf(spec.parts.front(), source.isa())};
  std::string type = absl::StrCat("QuantizedOthers<", spec.parts.front().operands[1]->shape[1].size(), ", ",
                                  MatchQuantizedLinear(spec.parts[1]).value().bits);
  std::string rows;
  for (size_t i = 1; i < spec.parts.size(); ++i) {
    kernels.push_back(QuantizedLinear(spec.parts[i], source.isa()));
    absl::StrAppend(&type, ", ", MatchQuantizedLinear(spec.parts[i]).value().n);
    absl::StrAppend(&rows, i > 1 ? ", " : "", "{q8", i, ", scales", i, ", bias", i, ", y", i, "}");
  }
  source.AddJoint(symbol, kernels, kernels.front().grid, "JointParts.cuh",
                  absl::StrCat("  ", Call(kernels.front()), "(\n      ", Arguments(kernels.front(), 0), "dims,\n      ",
                               type, ">{{", rows, "}});\n"));
}

/// Whether the part takes a token of each of several sequences: its kernel is another, with blocks of its own form.
bool IsOfBatch(const KernelSpec& part) {
  const Dim& tokens = part.operands.front()->shape.front();
  return tokens.is_static() && tokens.size() > 1;
}

}  // namespace

absl::Status JointLimits(const KernelSpec& spec) {
  const std::vector<std::string> isas = CudaBackend().isas();
  if (std::any_of(spec.parts.begin(), spec.parts.end(), &IsOfBatch)) {
    return absl::UnimplementedError("kernel 'joint': a batch's parts can't run together on cuda");
  }
  for (const KernelSpec& part : spec.parts) {
    RETURN_IF_ERROR(CudaKernels().Supports(part));
  }
  if (!IsOfOneToken(spec)) {
    return absl::UnimplementedError("kernel 'joint': its parts must be for one token on cuda");
  }
  const bool joins = SideBySide(spec) || std::any_of(isas.begin(), isas.end(),
                                                     [&](const std::string& isa) { return ThroughOneRing(spec, isa); });
  return joins ? absl::OkStatus() : absl::UnimplementedError("kernel 'joint': its parts can't run together on cuda");
}

std::optional<LaunchGrid> JointGrid(const KernelSpec& spec, std::string_view isa) {
  if (SideBySide(spec)) {
    return SidesOf(spec, isa).grid;
  }
  return ThroughOneRing(spec, isa) ? std::optional(ProductOf(spec.parts.front(), isa).grid) : std::nullopt;
}

void EmitJoint(EmitContext& context, const KernelSpec& spec) {
  auto& source = static_cast<CudaSource&>(context);
  const std::string symbol = CudaKernels().Symbol(spec).value();
  if (SideBySide(spec)) {
    const Sides sides = SidesOf(spec, source.isa());
    source.AddJoint(symbol, sides.kernels, sides.grid, "JointParts.cuh", BodyOf(sides));
  } else if (ThroughOneRing(spec, source.isa())) {
    EmitThroughOneRing(source, symbol, spec);
  }
}

}  // namespace dejavu::describe
