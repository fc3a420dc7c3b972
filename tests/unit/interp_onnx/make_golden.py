#!/usr/bin/env python3
"""Writes golden.json: small cases of every ONNX operator that DejaVu evaluates, with onnxruntime's outputs, or
those of ONNX's reference evaluator for element types that onnxruntime lacks.

Needs numpy, onnx and onnxruntime, which the build does not. Run it after adding a case:
    tests/unit/interp_onnx/make_golden.py > tests/unit/interp_onnx/golden.json
"""
import json
import sys

import numpy as np
import onnx
import onnx.reference
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

NAMES = {"float32": "f32", "float16": "f16", "float64": "f64", "int64": "i64", "int32": "i32", "int16": "i16",
         "int8": "i8", "uint8": "u8", "bool": "bool"}
rng = np.random.default_rng(20240601)
cases = []


def f(*dims, scale=1.0, dtype=np.float32):
    return np.asarray(rng.standard_normal(dims) * scale).astype(dtype)


def i(*dims, low=-9, high=10, dtype=np.int64):
    return np.asarray(rng.integers(low, high, dims)).astype(dtype)


def b(*dims):
    return np.asarray(rng.integers(0, 2, dims)).astype(bool)


def v(*values, dtype=np.int64):
    return np.array(values, dtype=dtype)


def s(value, dtype=np.int64):
    return np.array(value, dtype=dtype)


def encode(array):
    data = []
    for x in array.reshape(-1):
        if array.dtype.kind == "f":
            x = float(x)
            data.append(x if np.isfinite(x) else repr(x))
        else:
            data.append(int(x))
    return {"dtype": NAMES[array.dtype.name], "dims": list(array.shape), "data": data}


def run(op, inputs, outputs, opset, attributes):
    names = [f"in{k}" if x is not None else "" for k, x in enumerate(inputs)]
    node = helper.make_node(op, names, [f"out{k}" for k in range(outputs)], **attributes)
    graph = helper.make_graph(
        [node], "case",
        [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
         for n, x in zip(names, inputs) if x is not None],
        [helper.make_empty_tensor_value_info(f"out{k}") for k in range(outputs)])
    ir_version = 8 if opset < 18 else 10
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)
    model = onnx.shape_inference.infer_shapes(model)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    feeds = {n: x for n, x in zip(names, inputs) if x is not None}
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return session.run(None, feeds)
    except onnxruntime.capi.onnxruntime_pybind11_state.NotImplemented:
        print(f"{op} of {[x.dtype.name for x in feeds.values()]}: by onnx.reference", file=sys.stderr)
        return onnx.reference.ReferenceEvaluator(model).run(None, feeds)


def encode_attribute(value):
    if isinstance(value, TensorProto):
        return {"tensor": encode(numpy_helper.to_array(value))}
    return value


def case(op, *inputs, opset=17, outputs=1, num_outputs=None, **attributes):
    results = run(op, inputs, outputs, opset, attributes)
    encoded = {k: encode_attribute(x) for k, x in attributes.items()}
    if num_outputs:  # what the importer adds to a Split without sizes
        encoded["num_outputs"] = num_outputs
    cases.append({"op": op, "opset": opset, "attributes": encoded,
                  "inputs": [None if x is None else encode(x) for x in inputs], "outputs": [encode(x) for x in results]})


def elementwise():
    for op in ["Add", "Sub", "Mul", "Div"]:
        case(op, f(2, 3), f(2, 3), opset=11)
        case(op, f(2, 1, 4), f(3, 1), opset=14)
        case(op, i(3, 4), v(7, -3, 2, 5))
        case(op, i(2, 2, dtype=np.int32), s(-4, np.int32))
    case("Div", v(7, -7, 7, -7), v(2, 2, -2, -2))
    case("Mul", f(4, dtype=np.float16), f(4, dtype=np.float16))
    case("Add", f(0, 3), f(1, 3))
    case("Mod", i(8), v(3, -3, 3, -3, 4, -4, 5, -5))
    case("Mod", i(8), v(3, -3, 3, -3, 4, -4, 5, -5), fmod=1)
    case("Mod", f(4, scale=5), f(4), fmod=1)
    case("Pow", np.abs(f(2, 3)), f(3))
    case("Pow", f(2, 3), s(2.0, np.float32), opset=12)
    case("Pow", f(2, 3), s(3))
    case("Pow", i(5), v(0, 1, 2, 3, 4))
    case("Pow", np.abs(i(4)), s(0.5, np.float32))
    for op in ["Max", "Min"]:
        case(op, f(2, 3), f(3), f(2, 1))
        case(op, i(4), s(2), opset=13)
        case(op, v(1.0, np.nan, -np.inf, np.inf, dtype=np.float32), v(np.nan, 2.0, 3.0, 4.0, dtype=np.float32))
        case(op, f(3))
    special = v(0.0, -0.0, np.nan, np.inf, -np.inf, 1.0, dtype=np.float32)
    for op in ["Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"]:
        case(op, i(3, 4, low=0, high=3), i(4, low=0, high=3))
        case(op, special, special[::-1].copy(), opset=16)
    case("Equal", b(2, 3), b(3), opset=13)
    for op in ["And", "Or", "Xor"]:
        case(op, b(2, 1, 4), b(3, 1))
    case("Where", b(2, 1), f(2, 3), f(3))
    case("Where", b(2, 3), s(1), i(1, 3))
    case("Where", b(4), b(4), b(1), opset=16)
    for op in ["Abs", "Neg"]:
        case(op, f(2, 3))
        case(op, i(5))
    case("Relu", v(-1.5, -0.0, 0.0, 2.5, np.inf, -np.inf, dtype=np.float32))
    case("Relu", i(5, dtype=np.int32), opset=14)
    for op in ["Erf", "Exp", "Sigmoid", "Tanh"]:
        case(op, f(3, 2, scale=2))
    for op in ["Log", "Sqrt", "Reciprocal"]:
        case(op, np.abs(f(3, 2)) + np.float32(0.1))
    case("Sqrt", v(0.0, np.inf, -1.0, dtype=np.float32))
    case("Reciprocal", v(0.0, -0.0, np.inf, dtype=np.float32))
    case("Exp", v(1000.0, -1000.0, np.nan, dtype=np.float32))
    case("IsNaN", special)
    case("IsInf", special)
    case("IsInf", special, detect_negative=0)
    case("IsInf", special, detect_positive=0)
    case("Not", b(2, 3))
    case("Identity", i(2, 2))
    case("Dropout", f(2, 3), s(0.5, np.float32), s(False, bool), outputs=2)
    case("Dropout", f(2, 3), opset=11, ratio=0.5)
    case("Clip", f(2, 3), s(-0.5, np.float32), s(0.5, np.float32), opset=11)
    case("Clip", f(2, 3), None, s(0.25, np.float32))
    case("Clip", i(6), s(-2), opset=13)
    case("Clip", v(np.nan, 3.0, dtype=np.float32), s(0.0, np.float32), s(1.0, np.float32))


def casts():
    numbers = v(-2.75, -0.5, 0.0, 0.5, 1.5, 100.25, dtype=np.float32)
    for to in [TensorProto.INT64, TensorProto.INT32, TensorProto.INT8, TensorProto.BOOL, TensorProto.DOUBLE,
               TensorProto.FLOAT16]:
        case("Cast", numbers, to=to)
    case("Cast", v(0, 1, -1, 300), to=TensorProto.UINT8)
    case("Cast", v(0, 1, -1, 300), to=TensorProto.INT8)
    case("Cast", v(0, 1, -1, 2**24 + 1, 2**53 + 1), to=TensorProto.FLOAT)
    case("Cast", v(0, 1, 2**53 + 1), to=TensorProto.DOUBLE)
    case("Cast", b(4), to=TensorProto.FLOAT)
    case("Cast", b(4), to=TensorProto.INT64)
    case("Cast", f(6, scale=300, dtype=np.float16), to=TensorProto.FLOAT)
    case("Cast", v(65504.0, 65520.0, 6e-8, 1e-8, -1e-7, np.nan, np.inf, dtype=np.float32), to=TensorProto.FLOAT16)
    case("Cast", v(1e300, 1e-300, 0.1, dtype=np.float64), to=TensorProto.FLOAT)
    case("CastLike", numbers, i(1))
    case("CastLike", i(4), f(1, dtype=np.float16))


def shapes():
    case("Shape", f(2, 3, 4), opset=11)
    for start, end in [(1, 2), (-2, 3), (0, -1), (-9, 9), (2, 1)]:
        case("Shape", f(2, 3, 4), start=start, end=end)
    case("Shape", f())
    case("Size", f(2, 0, 4))
    case("Size", i(3, 4))
    case("Reshape", f(2, 6), v(3, -1))
    case("Reshape", f(2, 6), v(0, 3, 2))
    case("Reshape", f(2, 3), v(-1), opset=13)
    case("Reshape", f(1, 1), np.zeros((0,), np.int64))
    case("Reshape", f(0, 4), v(0, 2, 2))
    case("Reshape", f(0, 4), v(3, 0), allowzero=1, opset=14)
    for axis in [0, 1, 2, 3, -1]:
        case("Flatten", f(2, 3, 4), axis=axis)
    case("Squeeze", f(1, 2, 1, 3))
    case("Squeeze", f(1, 2, 1, 3), v(-2))
    case("Squeeze", f(1, 2, 1, 3), axes=[0, 2], opset=11)
    case("Unsqueeze", f(2, 3), v(0, -1))
    case("Unsqueeze", f(2, 3), v(3, 1), opset=13)
    case("Unsqueeze", f(2, 3), axes=[0, 3], opset=11)
    case("Unsqueeze", s(5), v(0))
    case("Transpose", f(2, 3, 4))
    case("Transpose", f(2, 3, 4), perm=[1, 0, 2])
    case("Transpose", i(2, 2, 3, 1), perm=[0, 2, 1, 3])
    case("Expand", f(3, 1), v(2, 1, 4))
    case("Expand", f(2, 3), v(1))
    case("Expand", s(True, bool), v(2, 2))
    case("Tile", f(2, 3), v(2, 1))
    case("Tile", i(2, 1, 2), v(1, 3, 2), opset=13)
    case("Tile", f(2), v(0))
    for value in [f(2, 2), s(5), b(3)]:
        case("Constant", value=numpy_helper.from_array(value))
    case("ConstantOfShape", v(2, 3))
    case("ConstantOfShape", v(2, 2), value=numpy_helper.from_array(v(-7)))
    case("ConstantOfShape", np.zeros((0,), np.int64), value=numpy_helper.from_array(v(True, dtype=bool)))
    case("Range", s(0), s(5), s(1))
    case("Range", s(10), s(-3), s(-4))
    case("Range", s(3), s(3), s(1))
    case("Range", s(0.0, np.float32), s(1.0, np.float32), s(0.3, np.float32))
    case("Range", s(0, np.int32), s(7, np.int32), s(2, np.int32), opset=11)


def parts():
    case("Concat", f(2, 3), f(2, 1), f(2, 2), axis=1)
    case("Concat", i(2, 3), i(1, 3), axis=-2, opset=11)
    case("Concat", f(1, 2, 0, 3), f(1, 2, 4, 3), axis=2)
    case("Concat", v(1), v(2), v(-1), axis=0)
    case("Split", f(2, 6), v(1, 2, 3), axis=1, outputs=3)
    case("Split", f(6, 2), axis=0, outputs=3, num_outputs=3)
    case("Split", f(2, 6), axis=1, split=[2, 4], outputs=2, opset=11)
    far = np.iinfo(np.int64).max
    case("Slice", f(4, 5), v(1), v(far))
    case("Slice", f(4, 5), v(0, 1), v(4, -1), v(0, 1), v(2, 1), opset=11)
    case("Slice", f(4, 5), v(-1), v(-far), v(1), v(-2))
    case("Slice", f(4, 5), v(-3), v(-1), v(-1))
    case("Slice", f(4, 5), v(3, 0), v(3, 99), v(0, 1))
    case("Slice", i(10), v(20), v(-20), v(0), v(-3))
    case("Slice", i(10), v(-20), v(20), v(0), v(3), opset=13)
    case("Slice", i(4, 3, dtype=np.int32), v(1, dtype=np.int32), v(3, dtype=np.int32), v(0, dtype=np.int32))
    for upper in [0, 1]:
        case("Trilu", f(3, 4), upper=upper)
        case("Trilu", i(2, 3, 3), s(1), upper=upper)
        case("Trilu", b(3, 4), s(-1), upper=upper)
        case("Trilu", f(3, 3), s(100), upper=upper)


def gathers():
    case("Gather", f(5, 3), i(2, 2, low=-5, high=5))
    case("Gather", f(2, 4, 3), i(2, low=0, high=4), axis=1)
    case("Gather", v(3, 4, 5), s(-1))
    case("Gather", f(2, 3), i(0, 2, low=0, high=1))
    case("Gather", i(4), i(3, low=0, high=4, dtype=np.int32), axis=-1, opset=11)
    case("GatherElements", f(3, 4), i(2, 4, low=-3, high=3), axis=0)
    case("GatherElements", f(3, 4), i(3, 2, low=-4, high=4), axis=-1, opset=13)
    case("GatherND", f(3, 4), i(2, 2, low=-3, high=3))
    case("GatherND", f(3, 4), i(2, 1, low=0, high=3))
    case("GatherND", f(2, 3, 4), i(2, 5, 1, low=-3, high=3), batch_dims=1)
    case("GatherND", b(2, 3), i(1, 2, 2, 2, low=0, high=2), opset=12)
    case("ScatterND", f(4, 3), v(1, 3).reshape(2, 1), f(2, 3))
    case("ScatterND", i(3, 3), v(0, 0, 2, 1).reshape(2, 2), i(2), opset=11)
    for reduction in ["add", "mul"]:
        case("ScatterND", f(4), v(1, 1, 2).reshape(3, 1), f(3), reduction=reduction, opset=16)
    for reduction in ["max", "min"]:
        case("ScatterND", f(4), v(1, 1, 2).reshape(3, 1), f(3), reduction=reduction, opset=18)


def reductions():
    for op in ["ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd"]:
        case(op, f(2, 3, 4), axes=[-1], opset=14)
        case(op, f(2, 3, 4), axes=[0, 2], keepdims=0, opset=17)
        case(op, f(2, 3, 4), opset=13)
        case(op, f(2, 3, 4), v(1), opset=18)
        case(op, i(2, 3, dtype=np.int32), v(0), keepdims=0, opset=18)
    case("ReduceSum", f(2, 3, 4), v(-2), opset=13)
    case("ReduceSum", f(2, 3, 4), axes=[1], opset=11)
    case("ReduceSum", i(2, 3), keepdims=0)
    case("ReduceSum", f(2, 3), np.zeros((0,), np.int64), noop_with_empty_axes=1)
    case("ReduceSum", f(2, 0), v(1))
    case("CumSum", i(2, 4), s(1))
    case("CumSum", f(3, 2), s(0), exclusive=1)
    case("CumSum", f(3, 2, 2), s(-2), reverse=1)
    case("CumSum", i(5, dtype=np.int32), v(0), exclusive=1, reverse=1, opset=14)


def networks():
    case("Softmax", f(2, 3, 4, scale=3))
    case("Softmax", f(2, 3, 4), axis=1)
    case("Softmax", f(2, 3, 4), axis=2, opset=11)
    case("Softmax", f(2, 3, 4), opset=11)
    case("Softmax", v(1e4, -np.inf, 1e4 - 1, dtype=np.float32))
    case("LayerNormalization", f(2, 3, 8), f(8), f(8), epsilon=1e-5)
    case("LayerNormalization", f(2, 3, 8), f(8), epsilon=1e-3, axis=-1, outputs=3)
    case("LayerNormalization", f(2, 3, 4), f(3, 4), f(3, 4), axis=1, outputs=3)
    case("MatMul", f(3, 4), f(4, 2))
    case("MatMul", f(2, 1, 3, 4), f(5, 4, 2))
    case("MatMul", f(4), f(4, 2))
    case("MatMul", f(2, 3, 4), f(4))
    case("MatMul", f(4), f(4))
    case("MatMul", i(2, 3, dtype=np.int32), i(3, 2, dtype=np.int32))
    case("MatMul", f(2, 0), f(0, 3))
    case("Gemm", f(3, 4), f(4, 2), f(2))
    case("Gemm", f(4, 3), f(2, 4), f(3, 1), transA=1, transB=1, alpha=0.5, beta=2.0)
    case("Gemm", f(3, 4), f(2, 4), transB=1, opset=11)
    case("Gemm", f(3, 4, dtype=np.float64), f(4, 2, dtype=np.float64), s(0.5, np.float64))


for family in [elementwise, casts, shapes, parts, gathers, reductions, networks]:
    family()
cases.sort(key=lambda c: c["op"])
print("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]")
print(len(cases), "cases of", len({c["op"] for c in cases}), "operators", file=sys.stderr)
