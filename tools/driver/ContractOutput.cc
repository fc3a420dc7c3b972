#include "tools/driver/ContractOutput.h"

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "ir/base/Hash.h"

namespace dejavu {
namespace {

using Json = nlohmann::json;

Json AllocationJson(const ContractOutcome& outcome, Prices prices) {
  Json json = {{"prices", prices == Prices::kTime ? "time" : "bytes"},
               {"choosing_tokens", outcome.choosing_tokens},
               {"us_per_token", outcome.microseconds},
               {"dense_us_per_token", outcome.dense_microseconds},
               {"layers", Json::array()},
               {"tried", Json::array()}};
  if (prices == Prices::kBytes) {
    json["bytes_per_us"] = kBytesPerMicrosecond;
  }
  for (const AllocatedLayer& layer : outcome.layers) {
    Json one = {{"choice", layer.choice},
                {"damage_kl", layer.damage},
                {"predicted_us", layer.predicted_microseconds},
                {"us", layer.microseconds},
                {"dense_us", layer.dense_microseconds},
                {"bytes", layer.bytes},
                {"dense_bytes", layer.dense_bytes}};
    if (!layer.heads.empty()) {
      one["heads"] = layer.heads;
    }
    json["layers"].push_back(std::move(one));
  }
  for (const TriedArtifact& tried : outcome.tried) {
    json["tried"].push_back({{"name", tried.name},
                             {"ppl_increase", tried.ppl_increase},
                             {"kl", tried.kl},
                             {"bytes_per_token", tried.bytes_per_token},
                             {"us_per_token", tried.microseconds},
                             {"held_out", tried.held_out}});
  }
  return json;
}

}  // namespace

Json ContractJson(const ContractOutcome& outcome, Prices prices) {
  Json json = {{"dense_layers", outcome.dense_layers},
               {"bytes_per_token", outcome.bytes_per_token},
               {"dense_bytes_per_token", outcome.dense_bytes_per_token}};
  for (const ContractTerm& term : outcome.terms) {
    json["terms"][term.name] = {{"bound", term.bound},
                                {"measured", term.measured.value},
                                {"interval", {term.measured.low, term.measured.high}},
                                {"what", term.what}};
  }
  if (outcome.text_hash) {
    json["text"] = {{"xxh3", HashText(*outcome.text_hash)},
                    {"tokens", outcome.tokens},
                    {"ppl", outcome.ppl},
                    {"dense_ppl", outcome.dense_ppl}};
  }
  if (!outcome.layers.empty()) {
    json["allocation"] = AllocationJson(outcome, prices);
  }
  return json;
}

std::string ContractTable(const ContractOutcome& outcome) {
  std::string out;
  if (!outcome.layers.empty()) {
    const bool has_heads = !outcome.layers[0].heads.empty();
    absl::StrAppendFormat(&out, "%5s  %-22s%s%14s%10s%10s%10s%12s\n", "layer", "predictor",
                          has_heads ? "of heads    " : "", "predicted us", "us", "dense us", "MB", "dense MB");
    for (size_t i = 0; i < outcome.layers.size(); ++i) {
      const AllocatedLayer& layer = outcome.layers[i];
      absl::StrAppendFormat(&out, "%5d  %-22s%s%14.1f%10.1f%10.1f%10.3f%12.3f\n", i, layer.choice,
                            has_heads ? absl::StrFormat("%-12s", layer.heads) : "", layer.predicted_microseconds,
                            layer.microseconds, layer.dense_microseconds, layer.bytes / 1e6, layer.dense_bytes / 1e6);
    }
  }
  absl::StrAppendFormat(&out, "%-44s%12s%12s   %s\n", "contract", "bound", "measured", "95% interval");
  for (const ContractTerm& term : outcome.terms) {
    absl::StrAppendFormat(&out, "%-44s%12.5f%12.5f   %.5f to %.5f\n", term.what, term.bound, term.measured.value,
                          term.measured.low, term.measured.high);
  }
  absl::StrAppendFormat(&out, "%-44s%12.3f%12.3f\n", "MB per token, less than dense",
                        outcome.dense_bytes_per_token / 1e6, outcome.bytes_per_token / 1e6);
  if (!outcome.layers.empty()) {
    absl::StrAppendFormat(&out, "%-44s%12.3f%12.3f\n", "ms per token, launches one by one, and dense",
                          outcome.dense_microseconds / 1e3, outcome.microseconds / 1e3);
  }
  absl::StrAppend(
      &out, "dense layers: ", outcome.dense_layers.empty() ? "none" : absl::StrJoin(outcome.dense_layers, ", "), "\n");
  return out;
}

}  // namespace dejavu
