#!/usr/bin/env python3
"""Shows what each part of the trained predictors is worth: one Markdown table for each ablation.

ablations.py opt-1.3b --train=calib.txt --text=eval.txt --work=ablations
ablations.py opt-1.3b --train=calib.txt --text=eval.txt --work=ablations --only=rank,dtype --device=cuda --jobs=16

Trains profiles on one text, compiles artifacts and evaluates them on another beside the dense model, on the shipped
decode kernels. Profiles and results stay in the work directory and are used again, so a stopped run goes on when the
same command is given; artifacts are removed once they were evaluated, unless --keep. What this build of the tools
doesn't know is left out with its message in the table.
"""

import argparse
import hashlib
import json
import os
import re
import shlex
import shutil
import statistics
import subprocess
import sys

WHAT = {
    "rank": "Rank of the predictors; 0: chosen for each layer, for the fewest bytes",
    "dtype": "Bits of the predictors' elements; ranks are chosen for them where dejavu-profile can",
    "lookahead": "What neurons are predicted from: 0: the MLP's own input, 1: the input of their layer's attention, "
                 "2: that of the layer before",
    "threshold": "Thresholds by layer against a fixed number of the largest scores, as many as the thresholds choose on "
                 "average",
    "calibration": "Trained on the text against text that the model samples itself",
    "parts": "Sparse MLPs, sparse heads (kv=lazy), and both",
}


class Unknown(Exception):
    """The tools don't know an option."""


def numbers(kind):
    return lambda text: [kind(part) for part in text.split(",")]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0],
                                     epilog="ablations: " + "; ".join(f"{name}: {what}" for name, what in WHAT.items()))
    parser.add_argument("model", help="a Hugging Face directory, or an ONNX file with --tokenizer")
    parser.add_argument("--train", required=True, help="the text to train on")
    parser.add_argument("--text", required=True, help="the text to evaluate on")
    parser.add_argument("--work", required=True, help="a directory for profiles and results")
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(WHAT), help="some, with commas")
    parser.add_argument("--tokenizer", help="folder of vocab.json and merges.txt, for an ONNX file")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N; trains and evaluates there")
    parser.add_argument("--target", help="of dejavu-opt (default: cpu, or cuda:sm_90 for a device of cuda)")
    parser.add_argument("--jobs", type=int, default=1, help="windows that are evaluated at a time")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--max-tokens", type=int, default=0, help="to evaluate on; 0: the whole text")
    parser.add_argument("--train-tokens", type=int, default=65536)
    parser.add_argument("--masses", type=numbers(float), default=[0.99, 0.997, 0.999])
    parser.add_argument("--ranks", type=numbers(int), default=[32, 64, 128, 256, 0])
    parser.add_argument("--bits", type=numbers(int), default=[16, 8, 4])
    parser.add_argument("--lookaheads", type=numbers(int), default=[0, 1, 2])
    parser.add_argument("--head-shares", type=numbers(float), default=[0.95, 0.9, 0.8, 0.7])
    parser.add_argument("--keep", action="store_true", help="keep all artifacts")
    parser.add_argument("--bin", default="build/release/bin", help="folder of the tools")
    args = parser.parse_args()
    unknown = set(args.only) - set(WHAT)
    if unknown:
        parser.error(f"--only knows {', '.join(WHAT)}, not {', '.join(sorted(unknown))}")
    if set(args.work) & set(" ,{}"):
        parser.error(f"--work: '{args.work}' has a space, a comma or a brace, which pipelines cannot take")
    args.target = args.target or ("cuda:sm_90" if args.device.startswith("cuda") else "cpu")
    return args


def fingerprint(path):
    """Tells files apart: their sizes, beginnings and ends, of a folder all of them."""
    names = sorted(os.listdir(path)) if os.path.isdir(path) else [""]
    digest = hashlib.sha256()
    for name in names:
        file = os.path.join(path, name) if name else path
        if not os.path.isfile(file):
            continue
        size = os.path.getsize(file)
        with open(file, "rb") as content:
            digest.update(f"{name} {size}\n".encode() + content.read(1 << 20))
            content.seek(max(0, size - (1 << 20)))
            digest.update(content.read())
    return os.path.basename(path.rstrip("/")) + " " + digest.hexdigest()[:16]


class Bench:
    """Makes what ablations ask for, once."""

    def __init__(self, args):
        self.args = args
        os.makedirs(args.work, exist_ok=True)
        for path in (args.model, args.train, args.text):
            if not os.path.exists(path):
                sys.exit(f"ablations.py: error: {path}: no such file or directory")
        self.model = [fingerprint(args.model), f"--target={args.target}"]
        self.dense = self.compile("dense", ["--sparsity=none"])

    def path(self, name):
        return os.path.join(self.args.work, name)

    def run(self, tool, arguments, tried=()):
        """What the tool prints. Unknown if it refuses one of the options `tried`."""
        command = [os.path.join(self.args.bin, tool), *arguments]
        print("+ " + shlex.join(command), file=sys.stderr, flush=True)
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        message = next((line.split("error: ", 1)[1] for line in done.stderr.splitlines() if "error: " in line), "")
        names = {name for option in tried for name in re.findall(r"[a-z][a-z-]+(?==)", option)} - {"pipeline"}
        if done.returncode == 2 and any(name in message for name in names):
            raise Unknown(message)
        if done.returncode != 0:
            sys.exit(f"ablations.py: error: {tool} failed with exit code {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def knows(self, tool, flag):
        return flag in subprocess.run([os.path.join(self.args.bin, tool), "--help"], check=True,
                                      stdout=subprocess.PIPE, text=True).stdout

    def device(self):
        return [f"--device={self.args.device}", f"--threads={self.args.threads}"]

    def tokenizer(self):
        return [f"--tokenizer={self.args.tokenizer}"] if self.args.tokenizer else []

    def portable(self, what):
        """The same wherever the work directory is."""
        return [str(one).replace(os.path.join(self.args.work, ""), "") for one in what]

    def profiles_of(self, options):
        """What the profiles that options name were made with."""
        stamps = []
        for name in re.findall(r"profile=([^,}\n]+)", "\n".join(options)):
            with open(name + ".made-with") as file:
                stamps += json.load(file)
        return stamps

    def made_with(self, name, what):
        """Whether `name` was made with `what` before; other options are an error."""
        stamp = self.path(name + ".made-with")
        what = self.portable(what)
        if os.path.exists(stamp):
            with open(stamp) as file:
                before = json.load(file)
            if before != what:
                sys.exit(f"ablations.py: error: {stamp}: {name} was made with {before}, but now {what} are asked for; "
                         "give another --work or remove it")
            return True
        return False

    def stamp(self, name, what):
        with open(self.path(name + ".made-with"), "w") as file:
            json.dump(self.portable(what), file)

    def profile(self, name="profile", options=(), source=None):
        """The directory of a profile trained with these options, and on --train unless `source` says otherwise."""
        tokens = f"--max-tokens={self.args.train_tokens}"
        what = [self.model[0], source or fingerprint(self.args.train), tokens, *options]
        if not self.made_with(name, what):
            self.run("dejavu-profile", [self.args.model, source or f"--text={self.args.train}", tokens, *options, "-o",
                                        self.path(name), *self.device(), *self.tokenizer()], options)
            self.stamp(name, what)
        return self.path(name)

    def compile(self, name, options):
        path = self.path(name + ".dejavu")
        what = [*self.model, *options, *self.profiles_of(options)]
        # One without its stamp may be of other options.
        if not self.made_with(name + ".dejavu", what) or not os.path.exists(path):
            shutil.rmtree(path, ignore_errors=True)
            self.run("dejavu-opt", [self.args.model, "-o", path, f"--target={self.args.target}", *options,
                                    *self.tokenizer()], options)
            self.stamp(name + ".dejavu", what)
        return path

    def evaluate(self, name, options):
        """The evaluation of what dejavu-opt makes with these options, as dejavu-eval prints it."""
        what = [*self.model, fingerprint(self.args.text), self.args.max_tokens, *options, *self.profiles_of(options)]
        result = self.path(name + ".json")
        if not self.made_with(name, what) or not os.path.exists(result):
            artifact = self.compile(name, options)
            text = self.run("dejavu-eval", [
                artifact, f"--against={self.dense}", f"--text={self.args.text}", f"--max-tokens={self.args.max_tokens}",
                *self.device(), *([f"--jobs={self.args.jobs}"] if self.args.jobs > 1 else []), "--json"])
            with open(result, "w") as file:
                file.write(text)
            self.stamp(name, what)
            if not self.args.keep:
                shutil.rmtree(artifact)
                os.remove(artifact + ".made-with")
        with open(result) as file:
            return json.load(file)

    def pipeline(self, options):
        """From the model to [sched], with these options of low-rank predictors."""
        lift = "lift," if self.args.model.endswith(".onnx") else ""
        return [f"--pipeline={lift}phases,insert-predictors{{kind=low-rank,{options}}},sparsify-mlp,"
                "sparsify-attention,schedule"]


def trained(profile, mass, head_share=None):
    heads = [f"--head-share={head_share:g}", "--kv=lazy"] if head_share else []
    return ["--sparsity=predicted", f"--profile={profile}", f"--mass={mass:g}", *heads]


def by_mass(bench, name, setting, make_profile):
    """A row for each mass, of a profile that is made when the first is asked for."""
    for mass in bench.args.masses:
        yield (f"{setting}, mass {mass:g}",
               lambda mass=mass: bench.evaluate(f"{name}-m{mass:g}", trained(make_profile(), mass)))


def rank(bench):
    for value in bench.args.ranks:
        name = f"rank{value}" if value else "profile"
        setting = f"rank {value}" if value else "rank chosen"
        yield from by_mass(bench, name, setting, lambda v=value, n=name: bench.profile(n, [f"--rank={v}"] if v else []))


def dtype(bench):
    trains = bench.knows("dejavu-profile", "--matrix-bits")
    for bits in bench.args.bits:
        if trains:
            # Ranks and thresholds are chosen for what is deployed.
            name = f"bits{bits}" if bits != 4 else "profile"
            yield from by_mass(bench, name, f"{bits} bits",
                               lambda b=bits, n=name: bench.profile(n, [f"--matrix-bits={b}"] if b != 4 else []))
            continue
        for mass in bench.args.masses:
            yield f"{bits} bits, mass {mass:g}", lambda b=bits, m=mass: bench.evaluate(
                f"bits{b}-m{m:g}", bench.pipeline(f"profile={bench.profile()},mass={m:g},matrix-bits={b}"))


def lookahead(bench):
    for value in bench.args.lookaheads:
        name = f"lookahead{value}" if value != 1 else "profile"
        yield from by_mass(bench, name, f"lookahead {value}",
                           lambda v=value, n=name: bench.profile(n, [f"--lookahead={v}"] if v != 1 else []))


def threshold(bench):
    for mass in bench.args.masses:
        def of_thresholds(m=mass):
            return bench.evaluate(f"profile-m{m:g}", trained(bench.profile(), m))

        def of_largest(m=mass):
            density = f"{statistics.fmean(of_thresholds(m)['mlp_density']):.4f}"
            return bench.evaluate(f"largest-m{m:g}", bench.pipeline(
                f"profile={bench.profile()},choose=largest,mlp-density={density}"))

        yield f"thresholds of mass {mass:g}", of_thresholds
        yield "as many, the largest", of_largest


def calibration(bench):
    yield from by_mass(bench, "profile", "the text", bench.profile)
    yield from by_mass(bench, "self", "self-generated",
                       lambda: bench.profile("self", source=f"--self={bench.args.train_tokens}"))


def parts(bench):
    for mass in bench.args.masses:
        yield (f"MLP of mass {mass:g}",
               lambda m=mass: bench.evaluate(f"profile-m{m:g}", trained(bench.profile(), m)))
    for share in bench.args.head_shares:
        yield (f"heads, {share:g} of them",
               lambda s=share: bench.evaluate(f"heads{s:g}", trained(bench.profile(), 1, s)))
    for mass in bench.args.masses:
        for share in bench.args.head_shares:
            yield (f"both, {mass:g} and {share:g}",
                   lambda m=mass, s=share: bench.evaluate(f"both-m{m:g}-h{s:g}", trained(bench.profile(), m, s)))


HEAD = ["setting", "MLP's bytes, %", "heads' bytes, %", "perplexity ratio", "95% interval", "mean KL", "same top, %",
        "recall, %", "by value, %", "heads' recall, %"]


def row(setting, result):
    against = result["against"]

    def share(kind):
        return f"{sum(result[kind]) / sum(against[kind]) * 100:.1f}"

    def mean(kind):
        return f"{statistics.fmean(against[kind]) * 100:.2f}"

    ends = against["ppl_ratio_interval"]
    return [setting, share("mlp_bytes"), share("attention_bytes"), f"{against['ppl_ratio']:.4f}",
            f"{ends[0]:.4f} to {ends[1]:.4f}" if ends else "one window", f"{against['kl_mean']:.2e}",
            f"{against['top1_agreement'] * 100:.2f}", mean("mlp_recall"), mean("mlp_recall_mass"), mean("head_recall")]


def table(rows):
    """Markdown that lines up: settings to the left, numbers to the right."""
    widths = [max(len(cells[i]) for cells in [HEAD, *rows]) for i in range(len(HEAD))]

    def line(cells):
        return "| " + " | ".join(cell.rjust(width) if i else cell.ljust(width)
                                 for i, (cell, width) in enumerate(zip(cells, widths))) + " |"

    rule = "|" + "|".join("-" * (width + 1) + (":" if i else "-") for i, width in enumerate(widths)) + "|"
    return "\n".join([line(HEAD), rule, *map(line, rows)])


def main():
    args = parse_arguments()
    bench = Bench(args)
    print(f"Trained on {args.train_tokens} tokens. Bytes are those of a token, as shares of the dense model's, with "
          "predictors included; recalls are means over the layers.")
    for name in args.only:
        rows, missing = [], []
        for setting, evaluate in globals()[name](bench):
            try:
                rows.append(row(setting, evaluate()))
            except Unknown as unknown:
                missing.append(f"{setting}: not known to these tools ({unknown})")
        print(f"\n**{name}**: {WHAT[name]}\n\n{table(rows)}")
        for line in missing:
            print(f"\n{line}")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
