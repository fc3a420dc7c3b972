#!/usr/bin/env python3
"""Converts a Hugging Face directory's pytorch_model*.bin into safetensors, which dejavu-opt reads.

Writes model.safetensors, or above 5 GB several model-0000N-of-0000M.safetensors and model.safetensors.index.json.
Only tensors are loaded from the .bin files, never code. Needs the Python packages torch and numpy.
"""

import argparse
import json
import os
import pathlib
import pickle
import shutil
import sys

SMALL_FILES = ("config.json", "generation_config.json", "vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json",
               "special_tokens_map.json")


class UserError(Exception):
    """The input is wrong; the message names the file and what to do."""


def find_bins(folder):
    """The .bin files of the checkpoint, in the order of their names."""
    index = folder / "pytorch_model.bin.index.json"
    if not index.exists():
        bins = sorted(folder.glob("pytorch_model*.bin"))
        if not bins:
            raise UserError(f"{folder}: has no pytorch_model*.bin")
        return bins
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{index}: is not an index of shards: it must have a 'weight_map' of tensors to files") from None
    for name in names:
        if pathlib.PurePath(name).name != name:
            raise UserError(f"{index}: '{name}' is not a file of this directory")
        if not (folder / name).is_file():
            raise UserError(f"{folder / name}: is missing, but {index.name} names it; download it too")
    return [folder / name for name in names]


def load_bin(path):
    """The tensors of one .bin by name."""
    import torch

    def load(**options):
        return torch.load(path, map_location="cpu", weights_only=True, **options)

    try:
        try:
            tensors = load(mmap=True)
        except RuntimeError:
            tensors = load()  # files older than torch 1.6 cannot be mapped
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except (RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError):
        # torch's own message advises to allow code to run.
        raise UserError(f"{path}: cannot be loaded: it is damaged or holds more than tensors") from None
    if not isinstance(tensors, dict) or not all(
            isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in tensors.items()):
        raise UserError(f"{path}: must hold tensors by name")
    return tensors


def dtype_names():
    """Safetensors' name of each torch dtype."""
    import torch

    return {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
            torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL"}


def is_tied(folder):
    """Whether the model's config ties lm_head to the embeddings, which is the default of OPT."""
    config = folder / "config.json"
    try:
        return not config.exists() or json.loads(config.read_text(encoding="utf-8")).get("tie_word_embeddings", True)
    except (ValueError, AttributeError):
        raise UserError(f"{config}: is not a JSON object") from None


def same_memory(a, b):
    """Whether two tensors are one."""
    return a.data_ptr() == b.data_ptr() and a.shape == b.shape and a.stride() == b.stride() and a.dtype == b.dtype


def wanted(tensors, drop_tied_head):
    """The tensors to write: all but an lm_head that is the embedding table itself."""
    head = tensors.get("lm_head.weight")
    tables = [tensor for name, tensor in tensors.items() if name.endswith("embed_tokens.weight")]
    if drop_tied_head and head is not None and any(same_memory(head, table) for table in tables):
        return {name: tensor for name, tensor in tensors.items() if name != "lm_head.weight"}
    return tensors


def plan(bins, drop_tied_head, max_shard_bytes):
    """The output shards, each a list of (bin, name, dtype, shape, bytes)."""
    names = dtype_names()
    shards = [[]]
    seen = {}
    size = 0
    for path in bins:
        for name, tensor in wanted(load_bin(path), drop_tied_head).items():
            if tensor.dtype not in names:
                raise UserError(f"{path}: tensor '{name}' has the type {tensor.dtype}, which safetensors cannot hold here")
            if name in seen:
                raise UserError(f"{path}: tensor '{name}' is also in {seen[name]}")
            seen[name] = path
            count = tensor.numel() * tensor.element_size()
            if shards[-1] and size + count > max_shard_bytes:
                shards.append([])
                size = 0
            shards[-1].append((path, name, names[tensor.dtype], list(tensor.shape), count))
            size += count
    return shards


def write_shard(path, entries, loaded):
    """Writes one output file; `loaded` caches the last .bin as (path, tensors)."""
    import torch

    header = {"__metadata__": {"format": "pt"}}
    offset = 0
    for _, name, dtype, shape, count in entries:
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + count]}
        offset += count
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % 64)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for source, name, *_ in entries:
            if loaded.get("path") != source:
                loaded.clear()
                loaded.update(path=source, tensors=load_bin(source))
            tensor = loaded["tensors"][name].detach().contiguous()
            file.write(tensor.reshape(-1).view(torch.uint8).numpy().data)
        file.flush()
        os.fsync(file.fileno())


def convert(folder, out, max_shard_bytes):
    """Writes everything under temporary names first, so that a failure leaves no half-written model."""
    bins = find_bins(folder)
    shards = plan(bins, is_tied(folder), max_shard_bytes)
    total = len(shards)
    names = ["model.safetensors"] if total == 1 else [
        f"model-{number + 1:05}-of-{total:05}.safetensors" for number in range(total)]
    out.mkdir(parents=True, exist_ok=True)
    existing = sorted(path.name for path in out.glob("model*.safetensors*") if not path.name.endswith(".tmp"))
    if existing:
        raise UserError(f"{out / existing[0]}: is already there; remove it or choose another folder with -o")
    written = []
    try:
        loaded = {}
        for name, entries in zip(names, shards):
            written.append(name)
            write_shard(out / f"{name}.tmp", entries, loaded)
            print(f"{out / name}: {len(entries)} tensors, {sum(entry[4] for entry in entries):,} bytes")
        if total > 1:
            index = {"metadata": {"total_size": sum(entry[4] for entries in shards for entry in entries)},
                     "weight_map": {entry[1]: name for name, entries in zip(names, shards) for entry in entries}}
            written.append("model.safetensors.index.json")
            (out / f"{written[-1]}.tmp").write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
        for name in SMALL_FILES:
            if out.resolve() != folder.resolve() and (folder / name).exists():
                shutil.copyfile(folder / name, out / name)
        for name in written:
            (out / f"{name}.tmp").rename(out / name)
    finally:
        for name in written:
            (out / f"{name}.tmp").unlink(missing_ok=True)


def main():
    """Parses the command line; exits with 1 for wrong input and 2 for wrong use."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", metavar="DIR", type=pathlib.Path, help="the directory with pytorch_model*.bin")
    parser.add_argument("-o", "--output", metavar="OUT", type=pathlib.Path,
                        help="where to write, with copies of config and tokenizer (default: DIR)")
    parser.add_argument("--max-shard-bytes", metavar="N", type=int, default=5_000_000_000,
                        help="start another file above this size (default: %(default)s)")
    arguments = parser.parse_args()
    if arguments.max_shard_bytes < 1:
        parser.error("--max-shard-bytes must be at least 1")
    try:
        convert(arguments.folder, arguments.output or arguments.folder, arguments.max_shard_bytes)
    except ImportError as error:
        sys.exit(f"convert-bin.py: error: the Python package {error.name} is missing; install it with "
                 f"'python3 -m pip install torch numpy'")
    except (UserError, OSError) as error:
        sys.exit(f"convert-bin.py: error: {error}")


if __name__ == "__main__":
    main()
