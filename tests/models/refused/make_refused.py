#!/usr/bin/env python3
"""Writes models that are almost OPT: each is ../onnx-opsets/dynamo18-eager.onnx with one change that must be noticed.

Needs numpy and onnx, which the build does not. expected.txt has, for each file, a part of the message that refuses it.
"""
import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

here = pathlib.Path(__file__).resolve().parent
expected = []


class Model:
    def __init__(self):
        self.proto = onnx.load(here.parent / "onnx-opsets/dynamo18-eager.onnx")
        self.graph = self.proto.graph

    def node(self, output):
        """The node that computes `output`."""
        return next(node for node in self.graph.node if output in node.output)

    def weight(self, name, array):
        self.graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def replace(self, output, *nodes):
        """Puts `nodes`, the last of which computes `output`, in the place of the node that does; returns that node."""
        old = self.node(output)
        index = list(self.graph.node).index(old)
        rest = list(self.graph.node)[index + 1:]
        kept = onnx.NodeProto()
        kept.CopyFrom(old)
        del self.graph.node[index:]
        self.graph.node.extend([*nodes, *rest])
        return kept

    def after(self, output, *nodes):
        """Inserts `nodes` after the one that computes `output`, which then computes `output`_before instead."""
        node = self.node(output)
        index = list(self.graph.node).index(node)
        rest = list(self.graph.node)[index + 1:]
        node.output[list(node.output).index(output)] = f"{output}_before"
        del self.graph.node[index + 1:]
        self.graph.node.extend([*nodes, *rest])


def refused(name, message):
    def write(change):
        model = Model()
        change(model)
        onnx.save(model.proto, here / f"{name}.onnx")
        expected.append(f"{name}.onnx: {message}")
    return write


def make(op, inputs, output, **attributes):
    return helper.make_node(op, inputs, [output], f"edited_{output}", **attributes)


# The mask.

@refused("mask-bidirectional", "causal")
def _(model):
    model.replace("bitwise_and", make("Or", ["new_ones", "le"], "bitwise_and"))


@refused("mask-anticausal", "causal")
def _(model):
    model.replace("le", make("GreaterOrEqual", ["unsqueeze_11", "unsqueeze_8"], "le"))


@refused("mask-strict", "causal")
def _(model):
    model.replace("le", make("Less", ["unsqueeze_11", "unsqueeze_8"], "le"))


def window(model, size):
    model.weight("window", np.array(size, np.int64))
    model.after("le", make("Sub", ["unsqueeze_8", "unsqueeze_11"], "distance"),
                make("Less", ["distance", "window"], "near"), make("And", ["le_before", "near"], "le"))


@refused("mask-window-3", "causal")
def _(model):
    window(model, 3)


@refused("mask-window-20", "causal")
def _(model):
    window(model, 20)


@refused("mask-additive", "reads scores that are changed")
def _(model):
    model.weight("slope", np.array(-0.5, np.float32))
    model.after("where", make("Sub", ["unsqueeze_8", "unsqueeze_11"], "distance"),
                make("Cast", ["distance"], "distance_f32", to=TensorProto.FLOAT),
                make("Mul", ["distance_f32", "slope"], "alibi"), make("Add", ["where_before", "alibi"], "where"))


# The MLP.

@refused("gelu", "op 'Gelu' is not supported")
def _(model):
    model.proto.opset_import[0].version = 20
    model.replace("relu_1", make("Gelu", ["linear_10"], "relu_1"))


@refused("gelu-of-erf", "the activation is not ReLU")
def _(model):
    for name, value in {"root": 2**0.5, "one": 1.0, "half": 0.5}.items():
        model.weight(name, np.array(value, np.float32))
    model.replace("relu_1", make("Div", ["linear_10", "root"], "scaled"), make("Erf", ["scaled"], "erf"),
                  make("Add", ["erf", "one"], "shifted"), make("Mul", ["linear_10", "shifted"], "product"),
                  make("Mul", ["product", "half"], "relu_1"))


@refused("relu-missing", "must be followed by an MLP block")
def _(model):
    model.replace("relu_1", make("Identity", ["linear_10"], "relu_1"))


@refused("bias-missing-fc1", "bias")
def _(model):
    del model.node("linear_10").input[2]


@refused("bias-missing-q", "bias")
def _(model):
    model.replace("linear_6", make("Identity", ["val_146"], "linear_6"))


@refused("gemm-alpha", "linear_10")
def _(model):
    next(a for a in model.node("linear_10").attribute if a.name == "alpha").f = 0.5


# Residuals and norms.

@refused("residual-missing-attention", "has no residual")
def _(model):
    model.replace("add_5", make("Identity", ["linear_3"], "add_5"))


@refused("residual-missing-mlp", "has no residual")
def _(model):
    model.replace("add_9", make("Identity", ["linear_11"], "add_9"))


@refused("residual-normed", "has no residual")
def _(model):
    model.replace("add_9", make("Add", ["layer_norm_3", "linear_11"], "add_9"))


@refused("residual-doubled", "add_9")
def _(model):
    model.after("add_9", make("Add", ["add_9_before", "view_11"], "add_9"))


# Attention.

@refused("attention-inputs-differ", "must take q, k and v from the same input")
def _(model):
    model.node("val_156").input[0] = "view_6"


@refused("attention-scale-vector", "mul_21")
def _(model):
    model.node("mul_21").input[1] = model.weight("scales", np.linspace(0.1, 0.5, 16).astype(np.float32))


@refused("attention-softmax-axis", "runs over dimension 2 of 4")
def _(model):
    next(a for a in model.node("val_169").attribute if a.name == "axis").i = 2


@refused("attention-heads-mixed", "in an order that is not OPT's")
def _(model):
    next(a for a in model.node("transpose_7").attribute if a.name == "perm").ints[:] = [0, 2, 1, 3]
    model.node("view_9").input[1] = model.weight("mixed", np.array([1, -1, 8, 2], np.int64))
    model.after("view_9", make("Transpose", ["view_9_before"], "view_9", perm=[0, 1, 3, 2]))


# Embeddings and the head.

@refused("positions-reversed", "expected OPT's position embedding")
def _(model):
    model.weight("last", np.array(25, np.int64))
    model.after("add_2", make("Sub", ["last", "add_2_before"], "add_2"))


@refused("embedding-bias", "add_3")
def _(model):
    model.weight("extra", np.ones(16, np.float32))
    model.after("add_3", make("Add", ["add_3_before", "extra"], "add_3"))


@refused("logits-scaled", "logits")
def _(model):
    model.weight("two", np.array(2.0, np.float32))
    model.after("logits", make("Mul", ["logits_before", "two"], "logits"))


@refused("shape-from-weights", "depends on 'shape'")
def _(model):
    model.weight("axis", np.array([0], np.int64))
    model.after("add_3", make("ReduceSum", ["m.model.decoder.layers.0.fc2.bias", "axis"], "sum"),
                make("Cast", ["sum"], "sum_i64", to=TensorProto.INT64),
                make("Reshape", ["add_3_before", "sum_i64"], "add_3"))


@refused("input-unknown", "input 'temperature' is not one of an OPT decoder")
def _(model):
    model.graph.input.append(helper.make_tensor_value_info("temperature", TensorProto.FLOAT, []))
    model.after("logits", make("Div", ["logits_before", "temperature"], "logits"))


# What shows only at more tokens, or with other tokens, than a first look takes.

def limit_ids(op):
    def change(model):
        lookup = next(n for n in model.graph.node if n.op_type == "Gather" and "lm_head" in n.input[0])
        model.weight("limit", np.array(20, np.int64))
        at = list(model.graph.node).index(lookup)
        model.graph.node.insert(at, make(op, [lookup.input[1], "limit"], "limited"))
        model.graph.node[at + 1].input[1] = "limited"
    return change


refused("ids-clipped", "learned embedding whose rows are not")(limit_ids("Min"))
refused("ids-mod", "learned embedding whose rows are not")(limit_ids("Mod"))


@refused("positions-clipped", "learned embedding whose rows are not")
def _(model):
    model.weight("limit", np.array(14, np.int64))
    model.after("add_2", make("Min", ["add_2_before", "limit"], "add_2"))


@refused("mask-every-9th", "not causal")
def _(model):
    model.weight("limit", np.array(9, np.int64))
    model.after("le", make("Sub", ["unsqueeze_8", "unsqueeze_11"], "distance"),
                make("Mod", ["distance", "limit"], "rest"), make("Sub", ["distance", "rest"], "whole"),
                make("Equal", ["whole", "limit"], "hit"), make("Not", ["hit"], "missed"),
                make("And", ["le_before", "missed"], "le"))


(here / "expected.txt").write_text("\n".join(sorted(expected)) + "\n")
