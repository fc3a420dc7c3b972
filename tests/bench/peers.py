"""The other engines that compare.py measures. Each function decodes greedily at batch 1 and returns a Measurement.

Runs outside the project's tests: needs torch, transformers, onnx, onnxruntime and ctranslate2 from PyPI.
"""

import dataclasses
import os
import statistics
import time


@dataclasses.dataclass
class Measurement:
    """What one engine did in one process."""

    ms_per_token: float  # median over every decode step of every repeat
    prefill_ms: float  # median over repeats; 0 where the engine does not tell it apart
    tokens: list  # the first greedy tokens, to see that all engines computed the same thing
    note: str = ""


@dataclasses.dataclass
class Job:
    """What to measure; all engines get the same."""

    model: str  # Hugging Face directory
    work: str  # folder for conversions, kept between runs
    prompt: list  # token ids
    new_tokens: int
    repeats: int
    threads: int


def _summary(steps, prefills, tokens, note=""):
    return Measurement(1e3 * statistics.median(steps), 1e3 * statistics.median(prefills), tokens[:16], note)


def torch_eager(job, dtype):
    """Hugging Face's own model and cache, as its users run it."""
    import torch
    import transformers

    torch.set_num_threads(job.threads)
    model = transformers.AutoModelForCausalLM.from_pretrained(job.model, dtype=getattr(torch, dtype)).eval()
    steps, prefills, tokens = [], [], []
    with torch.inference_mode():
        for _ in range(job.repeats + 1):  # the first one warms up
            start = time.perf_counter()
            out = model(input_ids=torch.tensor([job.prompt]), use_cache=True, logits_to_keep=1)
            token = out.logits[0, -1].argmax().view(1, 1)
            prefill, times, tokens = time.perf_counter() - start, [], [int(token)]
            while len(tokens) < job.new_tokens:
                start = time.perf_counter()
                out = model(input_ids=token, past_key_values=out.past_key_values, use_cache=True)
                token = out.logits[0, -1].argmax().view(1, 1)
                times.append(time.perf_counter() - start)
                tokens.append(int(token))
            prefills.append(prefill)
            steps.append(times)
    return _summary(sum(steps[1:], []), prefills[1:], tokens)


def _opt_step_module(model):
    """A plain OPT with its cache as inputs and outputs: what an ONNX export with past holds, without tracing tricks."""
    import torch

    config, decoder = model.config, model.model.decoder
    heads = config.num_attention_heads

    class Step(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.decoder = decoder
            self.head = model.lm_head

        def attention(self, layer, x, past_k, past_v, mask):
            def split(y):
                return y.view(1, -1, heads, config.hidden_size // heads).transpose(1, 2)

            a = layer.self_attn
            k = torch.cat([past_k, split(a.k_proj(x))], 2)
            v = torch.cat([past_v, split(a.v_proj(x))], 2)
            scores = split(a.q_proj(x) * a.scaling) @ k.transpose(2, 3) + mask
            y = scores.softmax(-1) @ v
            return a.out_proj(y.transpose(1, 2).reshape(1, -1, config.hidden_size)), k, v

        def forward(self, input_ids, *past):
            d = self.decoder
            done, count = past[0].shape[2], input_ids.shape[1]
            positions = torch.arange(done, done + count)
            x = d.embed_tokens(input_ids) + torch.nn.functional.embedding(positions + 2, d.embed_positions.weight)
            later = torch.arange(done + count)[None, :] > positions[:, None]
            mask = later.to(x.dtype) * -60000.0  # in every dtype's range
            present = []
            for i, layer in enumerate(d.layers):
                y, k, v = self.attention(layer, layer.self_attn_layer_norm(x), past[2 * i], past[2 * i + 1], mask)
                x = x + y
                x = x + layer.fc2(torch.relu(layer.fc1(layer.final_layer_norm(x))))
                present += [k, v]
            return self.head(d.final_layer_norm(x[:, -1:])), *present

    return Step().eval()


def _export_onnx(job, dtype):
    """Writes the ONNX file once and returns its path."""
    import torch
    import transformers

    path = os.path.join(job.work, f"{os.path.basename(job.model)}-{dtype}-past.onnx")
    if os.path.exists(path):
        return path
    os.makedirs(job.work, exist_ok=True)
    model = transformers.AutoModelForCausalLM.from_pretrained(job.model, dtype=getattr(torch, dtype)).eval()
    config = model.config
    size = (1, config.num_attention_heads, 3, config.hidden_size // config.num_attention_heads)
    names = [f"{n}.{i}" for i in range(config.num_hidden_layers) for n in ("k", "v")]
    past = [torch.zeros(size, dtype=model.dtype) for _ in names]
    axes = {"past." + n: {2: "past"} for n in names} | {"present." + n: {2: "total"} for n in names}
    with torch.no_grad():
        torch.onnx.export(
            _opt_step_module(model), (torch.tensor([[2, 3]]), *past), path + ".tmp", opset_version=17, dynamo=False,
            input_names=["input_ids"] + ["past." + n for n in names],
            output_names=["logits"] + ["present." + n for n in names], dynamic_axes={"input_ids": {1: "tokens"}} | axes)
    os.rename(path + ".tmp", path)
    return path


def onnxruntime(job, dtype):
    """ONNX with past inputs; `int8` is onnxruntime's dynamic quantisation of the fp32 file."""
    import numpy as np
    import onnxruntime as ort

    path = _export_onnx(job, "float16" if dtype == "float16" else "float32")
    if dtype == "int8":
        from onnxruntime.quantization import QuantType, quantize_dynamic

        quantized = path.replace("float32", "int8")
        if not os.path.exists(quantized):
            quantize_dynamic(path, quantized + ".tmp", weight_type=QuantType.QInt8)
            os.rename(quantized + ".tmp", quantized)
        path = quantized
    options = ort.SessionOptions()
    options.intra_op_num_threads = job.threads
    options.inter_op_num_threads = 1
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    outputs = [o.name for o in session.get_outputs()]
    pasts = session.get_inputs()[1:]
    half = np.float16 if dtype == "float16" else np.float32
    steps, prefills, tokens = [], [], []

    def run(ids, past):
        ids = ort.OrtValue.ortvalue_from_numpy(np.array([ids], dtype=np.int64))
        result = session.run_with_ort_values(outputs, {"input_ids": ids} | {p.name: v for p, v in zip(pasts, past)})
        return int(result[0].numpy()[0, -1].argmax()), result[1:]

    for _ in range(job.repeats + 1):
        empty = [ort.OrtValue.ortvalue_from_numpy(np.zeros((1, p.shape[1], 0, p.shape[3]), half)) for p in pasts]
        start = time.perf_counter()
        token, past = run(job.prompt, empty)
        prefills.append(time.perf_counter() - start)
        tokens, times = [token], []
        while len(tokens) < job.new_tokens:
            start = time.perf_counter()
            token, past = run([token], past)
            times.append(time.perf_counter() - start)
            tokens.append(token)
        steps.append(times)
    return _summary(sum(steps[1:], []), prefills[1:], tokens)


def ctranslate2(job, dtype):
    """CTranslate2's generator; `dtype` is its compute type, and the weights are stored in it."""
    import ctranslate2 as ct2
    import json

    folder = os.path.join(job.work, f"{os.path.basename(job.model)}-ct2-{dtype}")
    if not os.path.exists(folder):
        os.makedirs(job.work, exist_ok=True)
        ct2.converters.TransformersConverter(job.model).convert(folder + ".tmp", quantization=dtype, force=True)
        os.rename(folder + ".tmp", folder)
    with open(os.path.join(job.model, "vocab.json"), encoding="utf-8") as file:
        words = {i: w for w, i in json.load(file).items()}
    generator = ct2.Generator(folder, device="cpu", compute_type=dtype, inter_threads=1, intra_threads=job.threads)
    prompt = [words[i] for i in job.prompt]
    steps, prefills, tokens = [], [], []
    for _ in range(job.repeats + 1):
        stamps, tokens = [], []

        def on_step(step):
            stamps.append(time.perf_counter())
            tokens.append(step.token_id)
            return False

        start = time.perf_counter()
        generator.generate_batch([prompt], max_length=job.new_tokens, min_length=job.new_tokens, sampling_topk=1,
                                 beam_size=1, include_prompt_in_result=False, callback=on_step)
        prefills.append(stamps[0] - start)
        steps.append([b - a for a, b in zip(stamps, stamps[1:])])
    return _summary(sum(steps[1:], []), prefills[1:], tokens, f"computes in {generator.compute_type}")


def ctranslate2_types():
    """The compute types of CTranslate2's CPU backend on this machine."""
    import ctranslate2 as ct2

    known = ("float32", "float16", "bfloat16", "int8")
    return [t for t in known if t in ct2.get_supported_compute_types("cpu")]
