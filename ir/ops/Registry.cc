#include "ir/ops/Registry.h"

#include <map>

#include "absl/strings/str_cat.h"
#include "ir/ops/ModelOps.h"
#include "ir/ops/OnnxOps.h"
#include "ir/ops/SchedOps.h"
#include "ir/ops/SparseOps.h"

namespace dejavu {
namespace {

const std::map<std::string_view, const OpSchema*>& Registry() {
  static const auto* const kRegistry = [] {
    auto* map = new std::map<std::string_view, const OpSchema*>();
    for (const OpSchema& schema : OnnxOpSchemas()) {
      map->emplace(schema.name, &schema);
    }
    for (const OpSchema* schema : kModelOps) {
      map->emplace(schema->name, schema);
    }
    for (const OpSchema* schema : kSparseOps) {
      map->emplace(schema->name, schema);
    }
    for (const OpSchema* schema : kSchedOps) {
      map->emplace(schema->name, schema);
    }
    return map;
  }();
  return *kRegistry;
}

void DescribePort(const char* role, const PortSpec& port, std::string* out) {
  absl::StrAppend(out, "| ", role, " | `", std::string(port.name), "` | `", std::string(port.type), "` | ",
                  port.variadic ? "any number" : (port.optional ? "optional" : ""),
                  (port.variadic || port.optional) && !port.doc.empty() ? "; " : "", std::string(port.doc), " |\n");
}

std::string_view KindName(AttrKind kind) {
  constexpr std::string_view kNames[] = {"bool", "int", "float", "string", "ints", "tensor"};
  return kNames[static_cast<size_t>(kind)];
}

void DescribeOp(const OpSchema& schema, std::string* out) {
  absl::StrAppend(out, "\n### `", std::string(schema.name), "`\n", std::string(schema.summary),
                  "\n\n| | name | type | |\n|---|---|---|---|\n");
  for (size_t i = 0; i < schema.num_operands; ++i) {
    DescribePort("operand", schema.operand_specs[i], out);
  }
  for (size_t i = 0; i < schema.num_attrs; ++i) {
    const AttrSpec& attr = schema.attr_specs[i];
    absl::StrAppend(out, "| attribute | `", std::string(attr.name), "` | ", std::string(KindName(attr.kind)), " | ",
                    attr.optional ? "optional" : "", attr.optional && !attr.doc.empty() ? "; " : "",
                    std::string(attr.doc), " |\n");
  }
  for (size_t i = 0; i < schema.num_results; ++i) {
    DescribePort("result", schema.result_specs[i], out);
  }
}

}  // namespace

const OpSchema* FindOpSchema(std::string_view name) {
  auto it = Registry().find(name);
  return it == Registry().end() ? nullptr : it->second;
}

std::vector<const OpSchema*> AllOpSchemas() {
  std::vector<const OpSchema*> schemas;
  for (std::string_view family : {"onnx", "model", "sparse", "sched"}) {
    for (const auto& [name, schema] : Registry()) {
      if (schema->family() == family) {
        schemas.push_back(schema);
      }
    }
  }
  return schemas;
}

std::string OpsMarkdown() {
  std::string out =
      "# Ops\n\nGenerated from the schemas in this folder by `dejavu-opt --print-ops-md`; `tools/update-goldens` "
      "refreshes it.\n"
      "A capital letter in a type stands for one dimension in the whole op. The semantics that all ops share open "
      "`ModelOps.h`.\n";
  std::string_view family;
  for (const OpSchema* schema : AllOpSchemas()) {
    if (schema->family() != family) {
      family = schema->family();
      absl::StrAppend(&out, "\n## ", std::string(family), "\n");
    }
    DescribeOp(*schema, &out);
  }
  return out;
}

}  // namespace dejavu
