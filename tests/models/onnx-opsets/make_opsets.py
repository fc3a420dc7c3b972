#!/usr/bin/env python3
"""Exports one tiny random OPT in every opset and by both of torch's exporters, with its logits.

Needs torch, transformers, onnxscript, onnx, onnxruntime and numpy, which the build does not. Writes NAME.onnx and
NAME.npz for each entry of EXPORTS; tests read whatever is there.
"""
import pathlib
import warnings

import numpy as np
import onnx
import onnxruntime
import torch
from transformers import OPTConfig, OPTForCausalLM

here = pathlib.Path(__file__).resolve().parent
warnings.filterwarnings("ignore")


def tiny(attention="eager", dtype=torch.float32, **changes):
    torch.manual_seed(7)
    config = OPTConfig(vocab_size=40, hidden_size=16, word_embed_proj_dim=16, ffn_dim=32, num_hidden_layers=2,
                       num_attention_heads=2, max_position_embeddings=24, dropout=0.0, **changes)
    config._attn_implementation = attention
    model = OPTForCausalLM(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)  # biases start as zeros, norms as ones
    return model.to(dtype)


class Logits(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.m = model

    def forward(self, input_ids, attention_mask):
        return self.m(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).logits


def export(path, model, opset, dynamo):
    ids = torch.tensor([[2, 5, 9, 31, 7, 12]])
    mask = torch.ones_like(ids)
    names = dict(input_names=["input_ids", "attention_mask"], output_names=["logits"], opset_version=opset)
    if dynamo:
        sizes = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
        torch.onnx.export(Logits(model), (ids.repeat(2, 1), mask.repeat(2, 1)), path, dynamo=True, external_data=False,
                          dynamic_shapes={"input_ids": sizes, "attention_mask": sizes}, verbose=False, **names)
    else:
        axes = {0: "batch", 1: "seq"}
        torch.onnx.export(Logits(model), (ids, mask), path, dynamo=False,
                          dynamic_axes={"input_ids": axes, "attention_mask": axes, "logits": axes}, **names)
    strip(path)
    test = np.array([[2, 17, 3, 39, 8, 8, 21, 0, 4]], dtype=np.int64)
    inputs = {"input_ids": test, "attention_mask": np.ones_like(test)}
    if next(model.parameters()).dtype == torch.float32:
        (logits,) = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, inputs)
    else:  # what the stored halves mean: computed in f32, without rounding in between
        with torch.no_grad():
            logits = Logits(model.float())(*(torch.tensor(x) for x in inputs.values())).numpy()
    np.savez(path.with_suffix(".npz"), logits=logits, **inputs)
    operators = sorted({node.op_type for node in onnx.load(path).graph.node})
    print(path.name, path.stat().st_size, " ".join(operators))


def strip(path):
    """Removes what the exporter tells about its machine: stack traces and file names."""
    model = onnx.load(path)
    for part in [model, model.graph, *model.graph.node, *model.graph.value_info, *model.graph.input,
                 *model.graph.output, *model.graph.initializer]:
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    onnx.save(model, path)


EXPORTS = {
    **{f"legacy{opset}-eager": (opset, False, {}) for opset in (11, 12, 13, 15, 16, 18, 19, 20)},
    "legacy18-sdpa": (18, False, {"attention": "sdpa"}),
    "dynamo18-eager": (18, True, {}),
    "dynamo18-sdpa": (18, True, {"attention": "sdpa"}),
    "dynamo21-eager": (21, True, {}),
    "dynamo21-sdpa": (21, True, {"attention": "sdpa"}),
    "dynamo20-f16-sdpa": (20, True, {"attention": "sdpa", "dtype": torch.float16}),
    "legacy17-f16-eager": (17, False, {"dtype": torch.float16}),
    "dynamo20-bf16-eager": (20, True, {"dtype": torch.bfloat16}),
    "legacy14-post-norm": (14, False, {"do_layer_norm_before": False}),
}

if __name__ == "__main__":
    for name, (opset, dynamo, changes) in EXPORTS.items():
        export(here / f"{name}.onnx", tiny(**changes), opset, dynamo)
