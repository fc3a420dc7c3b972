#!/usr/bin/env python3
"""Writes small OPT checkpoints with random weights, as transformers saves them, and the logits that they give.

Each folder gets config.json, safetensors and expected.npz: input_ids (2, 9) and logits, computed in float64 from the
weights as they are stored. Needs torch, transformers and numpy:  python3 make_hf_random.py
"""

import pathlib
import shutil

import numpy
import torch
import transformers

HERE = pathlib.Path(__file__).parent
SHAPE = {"vocab_size": 128, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "ffn_dim": 192,
         "max_position_embeddings": 32, "word_embed_proj_dim": 64}
# Each form differs in several independent ways, so that few files cover them all.
FORMS = {
    "opt-f32": (torch.float32, "1GB", {}),
    "opt350-f16-shards": (torch.float16, "80KB", {"do_layer_norm_before": False, "word_embed_proj_dim": 32}),
    "opt-bf16-untied-biasless": (torch.bfloat16, "1GB", {"enable_bias": False, "tie_word_embeddings": False,
                                                         "word_embed_proj_dim": 40, "num_attention_heads": 8}),
    "opt-f16-no-final-norm": (torch.float16, "1GB", {"_remove_final_layer_norm": True, "bos_token_id": 3,
                                                     "eos_token_id": 4}),
}


def randomise(model):
    """Weights at which every part matters: norms and biases are not those of a fresh model."""
    for name, parameter in model.named_parameters():
        is_gain = "layer_norm.weight" in name
        spread = 0.3 if is_gain or name.endswith("bias") else 1.2 / parameter.shape[-1] ** 0.5
        torch.nn.init.normal_(parameter, mean=1.0 if is_gain else 0.0, std=spread)


def write(name, dtype, max_shard_size, options):
    """Saves one checkpoint and computes what it gives."""
    torch.manual_seed(sum(name.encode()))
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    model = transformers.OPTForCausalLM(transformers.OPTConfig(**{**SHAPE, **options}))
    with torch.no_grad():
        randomise(model)
    model.tie_weights()
    model.to(dtype).save_pretrained(folder, max_shard_size=max_shard_size)
    (folder / "generation_config.json").unlink(missing_ok=True)
    for path in folder.iterdir():
        path.chmod(0o644)
    ids = torch.randint(5, SHAPE["vocab_size"], (2, 9))
    with torch.no_grad():
        logits = model.double().eval()(ids).logits
    numpy.savez(folder / "expected.npz", input_ids=ids.numpy(), logits=logits.numpy())


def main():
    """Writes all forms."""
    for name, (dtype, max_shard_size, options) in FORMS.items():
        write(name, dtype, max_shard_size, options)


if __name__ == "__main__":
    main()
