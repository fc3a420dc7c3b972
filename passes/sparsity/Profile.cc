#include "passes/sparsity/Profile.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "ir/base/FileUtil.h"
#include "ir/base/Hash.h"
#include "ir/base/JsonText.h"
#include "ir/base/PredictorRows.h"
#include "passes/sparsity/Lookahead.h"

namespace dejavu {
namespace {

using Json = nlohmann::json;

constexpr size_t kMostBytes = size_t{64} << 20;
constexpr int64_t kMost = int64_t{1} << 50;

/// The members of one JSON object; the first fault is the status, and later getters return nothing of use.
class Fields {
 public:
  Fields(const Json& object, std::string path, absl::Status* status)
      : object_(object), path_(std::move(path)), status_(status) {
    Expect(object.is_object(), "", "must be an object");
  }

  const Json* Member(const char* key) {
    const bool found = status_->ok() && object_.contains(key);
    Expect(found, key, "is missing");
    return found ? &object_[key] : nullptr;
  }
  int64_t Integer(const char* key, int64_t low, int64_t high) {
    const Json* value = Member(key);
    const bool fits = value != nullptr && value->is_number_integer() && *value >= low && *value <= high;
    Expect(fits, key, absl::StrCat("must be an integer from ", low, " to ", high));
    return fits ? value->get<int64_t>() : low;
  }
  double Number(const char* key, double low, double high) {
    const Json* value = Member(key);
    const double number = value != nullptr && value->is_number() ? value->get<double>() : std::nan("");
    Expect(number >= low && number <= high, key, absl::StrCat("must be a number from ", low, " to ", high));
    return number;
  }
  std::string Hash(const char* key) {
    const Json* value = Member(key);
    const bool fits = value != nullptr && value->is_string() && ParseHash(value->get<std::string>()).has_value();
    Expect(fits, key, "must be a hash of 16 hexadecimal digits");
    return fits ? value->get<std::string>() : "";
  }
  /// Whether there is such a member that isn't null: profiles of earlier versions lack some.
  [[nodiscard]] bool Has(const char* key) const {
    return status_->ok() && object_.contains(key) && !object_[key].is_null();
  }
  /// Its elements' names are PATH.KEY[i].
  const Json& Array(const char* key) {
    static const Json empty = Json::array();
    const Json* value = Member(key);
    const bool fits = value != nullptr && value->is_array();
    Expect(fits, key, "must be an array");
    return fits ? *value : empty;
  }
  [[nodiscard]] std::string Name(std::string_view key) const {
    return absl::StrCat(path_, path_.empty() || key.empty() ? "" : ".", std::string(key));
  }
  void Expect(bool holds, std::string_view key, std::string_view what) {
    if (status_->ok() && !holds) {
      *status_ = UserError("field '", Name(key), "' ", std::string(what));
    }
  }

 private:
  const Json& object_;
  std::string path_;
  absl::Status* status_;
};

/// `key` is what points are found by.
ProfilePredictor ReadPredictor(const Json& json, const std::string& path, const char* key, absl::Status* status) {
  Fields fields(json, path, status);
  ProfilePredictor predictor;
  predictor.rank = fields.Integer("rank", 1, 1 << 16);
  const Json& points = fields.Array("points");
  for (size_t i = 0; status->ok() && i < points.size(); ++i) {
    Fields point(points[i], absl::StrCat(fields.Name("points"), "[", i, "]"), status);
    predictor.points.push_back({point.Number(key, 0, 1), point.Number("threshold", -1e30, 1e30),
                                point.Number("kept", 0, 1), point.Number("recall", 0, 1)});
    point.Expect(i == 0 || predictor.points[i - 1].mass < predictor.points[i].mass, key, "must rise");
  }
  fields.Expect(!predictor.points.empty(), "points", "must have a point");
  return predictor;
}

ProfileLayer ReadLayer(const Json& json, const std::string& path, absl::Status* status) {
  Fields fields(json, path, status);
  ProfileLayer layer;
  layer.density = fields.Number("density", 0, 1);
  const Json& curve = fields.Array("mass_curve");
  for (const Json& value : curve) {
    fields.Expect(value.is_number() && value >= 0 && value <= 1, "mass_curve", "must hold numbers from 0 to 1");
    layer.mass_curve.push_back(status->ok() ? value.get<double>() : 0);
  }
  const auto read = [&](const char* kind, const char* key, std::optional<ProfilePredictor>* predictor) {
    const Json* value = fields.Member(kind);
    if (value != nullptr && !value->is_null()) {
      *predictor = ReadPredictor(*value, fields.Name(kind), key, status);
    }
  };
  read("mlp", "mass", &layer.mlp);
  read("heads", "share", &layer.heads);
  if (fields.Has("oracle")) {
    read("oracle", "mass", &layer.oracle);
  }
  return layer;
}

absl::StatusOr<Profile> ParseProfile(std::string_view text) {
  ASSIGN_OR_RETURN(const Json json, ParseJsonObject(text));
  absl::Status status;
  Fields fields(json, "", &status);
  const int64_t format = fields.Integer("format", 0, kMost);
  if (status.ok() && format != kProfileFormat) {
    return UserError("has profile format ", format, ", but this program reads format ", kProfileFormat,
                     "; profile the model again with this version's dejavu-profile");
  }
  Profile profile;
  profile.model_hash = fields.Hash("model_hash");
  profile.tokenizer_hash = fields.Hash("tokenizer_hash");
  profile.text_hash = fields.Hash("text_hash");
  profile.lookahead = fields.Integer("lookahead", 0, kMaxLookahead);
  if (fields.Has("matrix_bits")) {
    profile.matrix_bits = fields.Integer("matrix_bits", 4, 16);
    fields.Expect(IsMatrixBits(profile.matrix_bits), "matrix_bits", "must be 4, 8 or 16");
  }
  profile.tokens = fields.Integer("tokens", 1, kMost);
  profile.rows = fields.Integer("rows", 1, kMost);
  profile.held_out = fields.Integer("held_out", 1, kMost);
  const Json& layers = fields.Array("layers");
  fields.Expect(!layers.empty(), "layers", "must have a layer");
  for (size_t i = 0; status.ok() && i < layers.size(); ++i) {
    profile.layers.push_back(ReadLayer(layers[i], absl::StrCat("layers[", i, "]"), &status));
  }
  RETURN_IF_ERROR(status);
  return profile;
}

Json PredictorToJson(const std::optional<ProfilePredictor>& predictor, const char* key) {
  if (!predictor) {
    return nullptr;
  }
  Json json = {{"rank", predictor->rank}, {"points", Json::array()}};
  for (const ProfilePoint& point : predictor->points) {
    json["points"].push_back(
        {{key, point.mass}, {"threshold", point.threshold}, {"kept", point.kept}, {"recall", point.recall}});
  }
  return json;
}

Json ToJson(const ProfileLayer& layer) {
  return {{"density", layer.density},
          {"mass_curve", layer.mass_curve},
          {"mlp", PredictorToJson(layer.mlp, "mass")},
          {"heads", PredictorToJson(layer.heads, "share")},
          {"oracle", PredictorToJson(layer.oracle, "mass")}};
}

Json ToJson(const Profile& profile) {
  Json json = {{"format", kProfileFormat},
               {"model_hash", profile.model_hash},
               {"tokenizer_hash", profile.tokenizer_hash},
               {"text_hash", profile.text_hash},
               {"lookahead", profile.lookahead},
               {"tokens", profile.tokens},
               {"matrix_bits", profile.matrix_bits},
               {"rows", profile.rows},
               {"held_out", profile.held_out},
               {"layers", Json::array()}};
  for (const ProfileLayer& layer : profile.layers) {
    json["layers"].push_back(ToJson(layer));
  }
  return json;
}

}  // namespace

absl::StatusOr<Profile> ReadProfile(const std::string& folder) {
  const std::string path = absl::StrCat(folder, "/", kProfileFile);
  const absl::StatusOr<std::string> text = ReadTextFile(path, kMostBytes);
  if (!text.ok()) {
    return UserError(std::string(text.status().message()), "; --profile=DIR is a directory that dejavu-profile wrote");
  }
  absl::StatusOr<Profile> profile = ParseProfile(*text);
  RETURN_IF_ERROR(WithContext(profile.status(), path));
  return profile;
}

std::string PrintProfile(const Profile& profile) { return ToJson(profile).dump(1) + "\n"; }

std::string PrintProfileLine(const Profile& profile) { return ToJson(profile).dump() + "\n"; }

absl::StatusOr<ProfileLayer> ReadProfileLayer(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path, kMostBytes));
  absl::StatusOr<Json> json = ParseJsonObject(text);
  RETURN_IF_ERROR(WithContext(json.status(), path));
  absl::Status status;
  ProfileLayer layer = ReadLayer(*json, "", &status);
  RETURN_IF_ERROR(WithContext(status, path));
  return layer;
}

std::string PrintProfileLayer(const ProfileLayer& layer) { return ToJson(layer).dump(1) + "\n"; }

std::string PredictorPrefix(int64_t layer, std::string_view kind) {
  return absl::StrCat("layers.", layer, ".", std::string(kind), ".");
}

std::string MassText(double mass) {
  std::array<char, 32> digits = {};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), mass).ptr;
  return {digits.data(), end};
}

absl::StatusOr<std::string> HashModel(const Module& module, WeightStore& weights) {
  const Function* function = module.FindFunction("prefill");
  if (function == nullptr) {
    return UserError("the module has no function @prefill; run split-phases first");
  }
  Hasher hasher;
  for (const auto& op : function->ops()) {
    if (op->Is("model.mlp")) {
      ASSIGN_OR_RETURN(const WeightData fc1, weights.Read(*op->operand("fc1")->weight()));
      hasher.Update({fc1.data, fc1.bytes});
    }
  }
  return HashText(hasher.Digest());
}

}  // namespace dejavu
