#include <gtest/gtest.h>

#include "tools/driver/Compile.h"

namespace dejavu {
namespace {

/// Its code is the list of its kernels.
class ListingTarget final : public Target {
 public:
  explicit ListingTarget(std::string name) : name_(std::move(name)) {}

  [[nodiscard]] std::string_view name() const override { return name_; }
  [[nodiscard]] const KernelTable& kernels() const override { return table_; }
  [[nodiscard]] std::vector<std::string> isas() const override { return {"old", "new"}; }
  [[nodiscard]] absl::StatusOr<std::string> HostIsa() const override { return std::string("old"); }
  [[nodiscard]] absl::StatusOr<CompiledCode> Compile(absl::Span<const KernelSpec> specs,
                                                     std::string_view isa) const override {
    if (specs.empty()) {
      return UserError("no kernels");
    }
    CompiledCode code{std::string(isa), "code", {}};
    for (const KernelSpec& spec : specs) {
      code.bytes.push_back(static_cast<std::byte>(spec.kernel[0]));
    }
    return code;
  }
  [[nodiscard]] std::vector<std::string> formats() const override { return {}; }
  [[nodiscard]] absl::StatusOr<std::string> EmitText(absl::Span<const KernelSpec> /*specs*/, std::string_view /*isa*/,
                                                     std::string_view /*format*/) const override {
    return UserError("no text");
  }
  [[nodiscard]] bool Runs(std::string_view /*function*/) const override { return true; }

 private:
  std::string name_;
  KernelTable table_{"listing", {}};
};

std::vector<KernelSpec> Kernels(const std::string& names) {
  std::vector<KernelSpec> kernels;
  for (const char name : names) {
    kernels.push_back({std::string(1, name), {}, {}, {}});
  }
  return kernels;
}

std::string Compiled(CodeCache& cache, const Target& target, const std::string& names, const std::string& isa = "old") {
  const auto code = cache.Compile(target, Kernels(names), isa);
  std::string text = code.ok() ? code->isa + " " : std::string(code.status().message());
  for (const std::byte byte : code.ok() ? code->bytes : std::vector<std::byte>()) {
    text += static_cast<char>(byte);
  }
  return text;
}

TEST(CodeCache, ServesWhatNeedsNoMoreKernels) {
  CodeCache cache;
  const ListingTarget target("one");
  EXPECT_EQ(Compiled(cache, target, "ab"), "old ab");
  EXPECT_EQ(Compiled(cache, target, "b"), "old ab");
  // Another set has the first one's kernels too, so that any mixture of both is there.
  EXPECT_EQ(Compiled(cache, target, "cb"), "old cba");
  EXPECT_EQ(Compiled(cache, target, "ca"), "old cba");
  EXPECT_EQ(Compiled(cache, target, "cd"), "old cdab");
  EXPECT_EQ(cache.compiled(), 3U);
}

TEST(CodeCache, KeepsTargetsAndInstructionSetsApart) {
  CodeCache cache;
  const ListingTarget one("one");
  const ListingTarget two("two");
  EXPECT_EQ(Compiled(cache, one, "ab"), "old ab");
  EXPECT_EQ(Compiled(cache, two, "a"), "old a");
  EXPECT_EQ(Compiled(cache, one, "b", "new"), "new b");
  // What differs in more than the name is another kernel.
  std::vector<KernelSpec> kernels = Kernels("a");
  kernels[0].attributes["bits"] = int64_t{4};
  EXPECT_EQ(cache.Compile(one, kernels, "old")->bytes.size(), 3U);
  EXPECT_EQ(Compiled(cache, one, "", "none"), "no kernels");
  EXPECT_EQ(cache.compiled(), 4U) << "a failure was kept";
}

}  // namespace
}  // namespace dejavu
