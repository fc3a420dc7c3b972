#!/usr/bin/env python3
"""Writes opt-demo-7m-logits.npz: the demo model's logits on 8 tokens, computed in f32 by onnxruntime.

Needs numpy, onnx and onnxruntime, which the build does not. The model's graph is in f16; every tensor of it is widened
first, as the expected logits must not depend on how a runtime rounds halves.
"""
import pathlib

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, numpy_helper

here = pathlib.Path(__file__).resolve().parent
model = onnx.load(here.parents[1] / "models/opt-demo-7m/model.onnx")
for tensor in model.graph.initializer:
    if tensor.data_type == TensorProto.FLOAT16:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
for value in [*model.graph.value_info, *model.graph.output]:
    if value.type.tensor_type.elem_type == TensorProto.FLOAT16:
        value.type.tensor_type.elem_type = TensorProto.FLOAT
for node in model.graph.node:
    for attribute in node.attribute:
        if node.op_type == "Cast" and attribute.i == TensorProto.FLOAT16:
            attribute.i = TensorProto.FLOAT

ids = np.array([[2, 319, 40, 7, 1024, 8191, 55, 266]], dtype=np.int64)
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
(logits,) = session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})
np.savez(here / "opt-demo-7m-logits.npz", input_ids=ids, logits=logits)
