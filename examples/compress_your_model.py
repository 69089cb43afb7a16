"""Compress a model with lorap, from a name or a folder to a stock checkpoint, and see what it costs.

    python examples/compress_your_model.py                                    # SmolLM2-135M, from PyPI
    python examples/compress_your_model.py models/mine --text my.txt --held-out other.txt --sparsity 0.2 0.3

Without a text of yours, the Python reference that comes with every Python calibrates and measures (in separate parts).
"""

import argparse
from pathlib import Path

import lorap

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("model", nargs="?", default="smollm2-135m-instruct", help="folder, hub id, GGUF file or known name")
parser.add_argument("--text", type=Path, help="a text like those that the model will work on")
parser.add_argument("--held-out", type=Path, help="another such text, to measure perplexity on")
parser.add_argument("--sparsity", type=float, nargs="+", default=[0.2, 0.5], help="fraction of the weights to remove")
parser.add_argument("--windows", type=int, default=32, help="of 128 tokens each, to calibrate with and to measure on")
parser.add_argument("--out", type=Path, default=Path("compressed"), help="folder for all that is made")
options = parser.parse_args()
if (options.text is None) != (options.held_out is None):
    parser.error("give both --text and --held-out, or neither")

# Any source becomes a plain Hugging Face folder; a second call has nothing to do.
dense = lorap.fetch(options.model, options.out / "dense")

# Calibration: windows of tokens from a text. They decide which directions and channels matter.
text = {"text": options.text} if options.text else {"corpus": "pydoc"}
calibration = lorap.calibrate(dense, options.out / "calibration.safetensors", **text, nsamples=options.windows)

# A plan needs no weights, so it is quick to see what a sparsity would leave.
for sparsity in options.sparsity:
    plan = lorap.plan(dense, sparsity=sparsity)
    print(f"sparsity {sparsity}: {plan.as_dict(tokens=64)['parameters']:,} parameters")

# Compression streams the model layer by layer: it needs memory for one layer and the activations.
models = {"dense": dense}
for sparsity in options.sparsity:
    name = f"lorap {sparsity:g}"
    models[name] = lorap.compress(dense, calibration, options.out / name.replace(" ", "-"), sparsity=sparsity)

# The same measurements of each model: perplexity (lower is better), size and speed.
held_out = {"text": options.held_out} if options.held_out else {"corpus": "pydoc"}
rows = []
for name, folder in models.items():
    quality = lorap.evaluate(folder, "perplexity", **held_out, windows=options.windows)
    cost = lorap.evaluate(folder, "cost")
    rows.append((name, quality["perplexity"], cost["parameters"], cost["macs"] / 1e9, cost["decode_tokens_per_second"]))

# A stock checkpoint for runtimes that know only the original architecture.
stock = lorap.export(models[name], options.out / "stock")
print(f"\n{'model':<12}{'perplexity':>12}{'parameters':>14}{'GMACs':>8}{'tokens/s':>10}")
for row in rows:
    print("{:<12}{:>12.2f}{:>14,}{:>8.2f}{:>10.1f}".format(*row))
print(f"\n{models[name]}: loads in transformers with trust_remote_code=True")
print(f"{stock}: loads anywhere that the original does")
