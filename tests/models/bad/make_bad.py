#!/usr/bin/env python3
"""Writes the hostile ONNX files of this folder and expected.txt: for each file, a part of the message that refuses it.

Needs numpy and onnx, which the build does not. Each file is one fault away from a valid model, y = relu(x w + b).
"""
import pathlib

import numpy as np
import onnx
from onnx import AttributeProto, StringStringEntryProto, TensorProto, helper, numpy_helper

here = pathlib.Path(__file__).resolve().parent
expected = []


def valid():
    rng = np.random.default_rng(1)
    w = numpy_helper.from_array(rng.standard_normal((4, 4)).astype(np.float32), "w")
    b = numpy_helper.from_array(rng.standard_normal(4).astype(np.float32), "b")
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"], "fc"), helper.make_node("Add", ["h", "b"], ["s"], "bias"),
             helper.make_node("Relu", ["s"], ["y"], "act")]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])], [w, b])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def bad(name, message):
    """Decorates a function that breaks a valid model, or returns the file's bytes."""
    def write(mutate):
        model = valid()
        data = mutate(model, model.graph)
        (here / f"{name}.onnx").write_bytes(data if data is not None else model.SerializeToString())
        expected.append(f"{name}.onnx: {message}")
    return write


def field(number, data):
    """A protobuf field of bytes."""
    size, varint = len(data), b""
    while size >= 128:
        varint += bytes([size % 128 | 128])
        size //= 128
    return bytes([number << 3 | 2]) + varint + bytes([size]) + data


def external(tensor, **places):
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in places.items():
        tensor.external_data.append(StringStringEntryProto(key=key, value=str(value)))


# The file as a whole.

@bad("empty-message", "is not an ONNX model: it has no graph")
def _(model, graph):
    return b"\x08\x08"  # ir_version 8 and nothing else


@bad("text", "is not an ONNX model, or is truncated")
def _(model, graph):
    return b"This is not protobuf.\n"


@bad("truncated", "is not an ONNX model, or is truncated")
def _(model, graph):
    return model.SerializeToString()[:-9]


@bad("nested-too-deep", "is not an ONNX model, or is truncated")
def _(model, graph):
    graph = b""
    for _ in range(120):
        graph = field(1, field(5, field(6, graph)))  # a graph's node's attribute's graph
    return b"\x08\x08" + field(7, graph)


@bad("ir-version", "has the ONNX IR version 14, but 3 to 13 are supported")
def _(model, graph):
    model.ir_version = 14


@bad("opset-old", "uses opset 9, but 11 to 21 are supported")
def _(model, graph):
    model.opset_import[0].version = 9


@bad("opset-new", "uses opset 22, but 11 to 21 are supported")
def _(model, graph):
    model.opset_import[0].version = 22


@bad("opset-missing", "names no version of ONNX's operators")
def _(model, graph):
    model.opset_import[0].domain = "com.example"


# Tensors.

@bad("dim-negative", "tensor 'w': has the negative dimension -4")
def _(model, graph):
    graph.initializer[0].dims[0] = -4


@bad("dim-overflow", "tensor 'w': has dimensions with more than 2^31 elements")
def _(model, graph):
    graph.initializer[0].dims[:] = [2**62, 4]


@bad("dim-overflow-with-zero", "tensor 'w': has dimensions with more than 2^31 elements")
def _(model, graph):
    graph.initializer[0].dims[:] = [2**40, 0, 2**40]


@bad("raw-short", "tensor 'w': has 60 bytes, but its type and dimensions need 64")
def _(model, graph):
    graph.initializer[0].raw_data = graph.initializer[0].raw_data[:-4]


@bad("typed-count", "tensor 'b': has 3 elements, but its dimensions say 4")
def _(model, graph):
    graph.initializer[1].ClearField("raw_data")
    graph.initializer[1].float_data.extend([1, 2, 3])


@bad("tensor-type", "tensor 'b': has ONNX's element type number 8, which is not supported")
def _(model, graph):
    graph.initializer[1].data_type = TensorProto.STRING


@bad("tensor-twice", "tensor 'w' is stored twice")
def _(model, graph):
    graph.initializer.append(graph.initializer[0])


@bad("tensor-nameless", "tensor '' has no name")
def _(model, graph):
    graph.initializer[1].name = ""


@bad("tensor-segment", "tensor 'w': is stored in segments")
def _(model, graph):
    graph.initializer[0].segment.begin = 0


@bad("tensor-sparse", "tensor 'sparse' is a sparse initialiser")
def _(model, graph):
    sparse = graph.sparse_initializer.add()
    sparse.values.CopyFrom(numpy_helper.from_array(np.ones(1, np.float32), "sparse"))
    sparse.dims.append(4)


# External data; the two files that exist are outside.bin, a link to ../../README.md, and inside.bin, 64 bytes.

@bad("external-absolute", "tensor 'w': has its data in '/etc/passwd'; that must be a path below the model's folder")
def _(model, graph):
    external(graph.initializer[0], location="/etc/passwd")


@bad("external-parent", "tensor 'w': has its data in 'sub/../../secret.bin'; that must be a path below")
def _(model, graph):
    external(graph.initializer[0], location="sub/../../secret.bin")


@bad("external-nowhere", "tensor 'w': has its data in ''; that must be a path below")
def _(model, graph):
    external(graph.initializer[0], offset=0)


@bad("external-missing", "tensor 'w': has its data in 'gone.bin', which cannot be opened (No such file")
def _(model, graph):
    external(graph.initializer[0], location="gone.bin")


@bad("external-link", "tensor 'w': has its data in 'outside.bin', a link to outside the model's folder")
def _(model, graph):
    external(graph.initializer[0], location="outside.bin")


@bad("external-folder", "tensor 'w': ")
def _(model, graph):
    external(graph.initializer[0], location=".")


@bad("external-past-end", "tensor 'w': has its data at bytes 4 to 4 + 64 of 'inside.bin', which ends at 64")
def _(model, graph):
    external(graph.initializer[0], location="inside.bin", offset=4, length=64)


@bad("external-overflow", "tensor 'w': has its data at bytes 18446744073709551615 to")
def _(model, graph):
    external(graph.initializer[0], location="inside.bin", offset=2**64 - 1)


@bad("external-negative", "tensor 'w': has the offset '-1' in its external data, not a number")
def _(model, graph):
    external(graph.initializer[0], location="inside.bin", offset=-1)


@bad("external-length", "tensor 'w': has 8 bytes of external data, but its type and dimensions need 64")
def _(model, graph):
    external(graph.initializer[0], location="inside.bin", length=8)


# The graph.

@bad("name-twice", "node 'act' (Relu): its output 'h' is already an output of node 'fc' (MatMul)")
def _(model, graph):
    graph.node[2].output[0] = "h"
    graph.output[0].name = "h"


@bad("name-of-input", "node 'act' (Relu): its output 'x' has the name of an input or a stored tensor")
def _(model, graph):
    graph.node[2].output[0] = "x"


@bad("name-control-characters", "the name of the node 'a\\x1b[31m' has control characters or is not UTF-8")
def _(model, graph):
    graph.node[2].name = "a\x1b[31m"


@bad("name-too-long", "has more than 4096 bytes")
def _(model, graph):
    graph.node[2].name = "n" * 5000


@bad("input-missing", "node 'bias' (Add): its input #1 'gone' is not an input of the graph, a stored tensor or an output")
def _(model, graph):
    graph.node[1].input[1] = "gone"


@bad("input-absent", "node 'bias' (Add): 'onnx.Add' op operand #1 ('b') is missing")
def _(model, graph):
    graph.node[1].input[1] = ""


@bad("cycle", "(a cycle)")
def _(model, graph):
    graph.node[0].input[0] = "s"


@bad("cycle-of-one", "node 'act' (Relu): reads a value that is computed from its own output (a cycle)")
def _(model, graph):
    graph.node[2].input[0] = "y"


@bad("output-missing", "output 'z' is not computed by a node")
def _(model, graph):
    graph.output[0].name = "z"


@bad("output-twice", "output 'y' is listed twice")
def _(model, graph):
    graph.output.append(graph.output[0])


@bad("output-stored", "output 'w' is a stored tensor")
def _(model, graph):
    graph.output[0].name = "w"


@bad("outputs-none", "the graph has no outputs")
def _(model, graph):
    del graph.output[:]


@bad("input-twice", "input 'x' is listed twice")
def _(model, graph):
    graph.input.append(graph.input[0])


@bad("input-negative", "input 'x': has the negative dimension -1")
def _(model, graph):
    graph.input[0].type.tensor_type.shape.dim[0].dim_value = -1


@bad("input-shapeless", "input 'x' is not a tensor with a known number of dimensions")
def _(model, graph):
    graph.input[0].type.tensor_type.ClearField("shape")


@bad("input-type", "input 'x' has ONNX's element type number 14")
def _(model, graph):
    graph.input[0].type.tensor_type.elem_type = TensorProto.COMPLEX64


@bad("value-negative", "value 'h': has the negative dimension -7")
def _(model, graph):
    graph.value_info.append(helper.make_tensor_value_info("h", TensorProto.FLOAT, ["batch", -7]))


# Nodes.

@bad("op-unknown", "node 'act' (Swish): op 'Swish' is not supported")
def _(model, graph):
    graph.node[2].op_type = "Swish"


@bad("op-domain", "node 'act' (Gelu): op 'com.microsoft::Gelu' is not supported")
def _(model, graph):
    graph.node[2].op_type = "Gelu"
    graph.node[2].domain = "com.microsoft"


@bad("op-nameless", "node #2 (Gelu): op 'Gelu' is not supported")
def _(model, graph):
    graph.node[2].name = ""
    graph.node[2].op_type = "Gelu"


@bad("op-function", "node 'act' (Act): calls the function 'local::Act' of the file; inline its functions")
def _(model, graph):
    graph.node[2].op_type = "Act"
    graph.node[2].domain = "local"
    body = [helper.make_node("Relu", ["a"], ["r"])]
    model.functions.append(helper.make_function("local", "Act", ["a"], ["r"], body, [helper.make_opsetid("", 17)]))


@bad("op-if", "node 'act' (If): op 'If' is not supported")
def _(model, graph):
    branch = helper.make_graph([helper.make_node("Relu", ["s"], ["r"])], "then", [],
                               [helper.make_tensor_value_info("r", TensorProto.FLOAT, None)])
    del graph.node[2]
    graph.node.append(helper.make_node("If", ["s"], ["y"], "act", then_branch=branch, else_branch=branch))


@bad("attribute-graph", "node 'act' (Relu): attribute 'body': is a graph: control flow is not supported")
def _(model, graph):
    branch = helper.make_graph([], "body", [], [])
    graph.node[2].attribute.append(helper.make_attribute("body", branch))


@bad("attribute-unknown", "node 'act' (Relu): 'onnx.Relu' op has no attribute 'alpha'")
def _(model, graph):
    graph.node[2].attribute.append(helper.make_attribute("alpha", 0.5))


@bad("attribute-kind", "node 'act' (Softmax): 'onnx.Softmax' op attribute 'axis' must be an integer")
def _(model, graph):
    graph.node[2].op_type = "Softmax"
    graph.node[2].attribute.append(helper.make_attribute("axis", 1.0))


@bad("attribute-twice", "node 'act' (Softmax): attribute 'axis' is given twice")
def _(model, graph):
    graph.node[2].op_type = "Softmax"
    graph.node[2].attribute.extend([helper.make_attribute("axis", 1)] * 2)


@bad("attribute-typeless", "node 'act' (Softmax): attribute 'axis': has the type number 0")
def _(model, graph):
    graph.node[2].op_type = "Softmax"
    attribute = helper.make_attribute("axis", 1)
    attribute.type = AttributeProto.UNDEFINED
    graph.node[2].attribute.append(attribute)


@bad("attribute-strings", "node 'act' (Relu): attribute 'names': has the type number 8")
def _(model, graph):
    graph.node[2].attribute.append(helper.make_attribute("names", ["a", "b"]))


@bad("constant-string", "node 'c' (Constant): attribute 'value_string' is not supported")
def _(model, graph):
    graph.node.append(helper.make_node("Constant", [], ["c"], "c", value_string="text"))


@bad("constant-inputs", "node 'c' (Constant): a constant has no inputs and one output")
def _(model, graph):
    graph.node.append(helper.make_node("Constant", ["x"], ["c"], "c", value_int=1))


@bad("cast-type", "node 'act' (Cast): converts to ONNX's element type number 17, which is not supported")
def _(model, graph):
    graph.node[2].op_type = "Cast"
    graph.node[2].attribute.append(helper.make_attribute("to", TensorProto.FLOAT8E4M3FN))


@bad("operand-type", "node 'act' (Not): 'onnx.Not' op operand #0 ('x') must be bool<...>, but is f32<")
def _(model, graph):
    graph.node[2].op_type = "Not"


@bad("operands-too-many", "node 'act' (Relu): 'onnx.Relu' op takes at most 1 operands, but 2 are given")
def _(model, graph):
    graph.node[2].input.append("x")


@bad("results-none", "node 'extra' (Relu): has no output")
def _(model, graph):
    graph.node.append(helper.make_node("Relu", ["x"], [""], "extra"))


@bad("results-too-many", "node 'act' (Relu): 'onnx.Relu' op has 1 result(s), but 2 are given")
def _(model, graph):
    graph.node[2].output.append("extra")


(here / "inside.bin").write_bytes(bytes(64))
(here / "outside.bin").unlink(missing_ok=True)
(here / "outside.bin").symlink_to("../../README.md")
(here / "expected.txt").write_text("\n".join(sorted(expected)) + "\n")
