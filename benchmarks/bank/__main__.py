"""Train the bank: `python -m benchmarks.bank [--home DIR] [--workers 2] [--seeds 20]`.

About 32 arms between GPT-2 and LLaMA, at the size and with the recipe of small studies: the
fraction of the flagship, every change alone and left out, and all combinations of rope, swiglu and
untied_embeddings, 20 seeds each; and three arms at half and at twice the learning rate, 12 seeds
each. Takes about an hour on two idle cores. Runs are kept in the home, so that an interrupted call
goes on where it was.
"""

import argparse
import csv
import io
import lzma
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ablab.execute.request import Request
from ablab.execute.session import Session
from ablab.records.home import make_home
from ablab.records.run_record import Record
from benchmarks.bank.table import LR, TABLE
from benchmarks.training import train

CURVE_POINTS = 20
_COMMON = """\
question: What do real runs look like?
model: {layers: 2, width: 64, heads: 2, context: 128}
data: {source: stdlib, tokenizer: {kind: bpe, vocab: 1024}}
budget: {flops: 2.0e+11}
recipe: small
validate_at: []
"""
_STUDIES = {
    "fraction": "from: gpt2\nto: llama\ndesign: {kind: fractional_factorial, resolution: 4}\n",
    "ends": "from: gpt2\nto: llama\ndesign: {kind: one_in_one_out}\n",
    "cube": ("from: gpt2\ndesign: {kind: factorial, changes: [rope, swiglu, untied_embeddings]}\n"),
}
_RATES = "arms: {gpt2: gpt2, rope: gpt2 + rope, swiglu: gpt2 + swiglu}\ndesign: {kind: compare}\n"


def requests(folder: Path, seeds: int) -> Iterator[Request]:
    """Yield the studies of the bank, after writing their files."""
    for name, text in _STUDIES.items():
        file = folder / f"bank_{name}.yaml"
        file.write_text(_COMMON + text)
        yield Request(file, None, (f"seeds={seeds}",), ())
    for factor in (0.5, 2.0):
        file = folder / f"bank_rates_{factor:g}.yaml"
        file.write_text(_COMMON.replace("small", f"{{preset: small, lr: {factor * LR}}}") + _RATES)
        yield Request(file, None, (f"seeds={min(seeds, 12)}",), ())


def rows(session: Session) -> Iterator[dict[str, object]]:
    """Yield the runs of a study, in the columns of the table."""
    content = session.record.read()
    for part in content.parts:
        expressions = {arm.name: arm.expression for arm in part.arms}
        for run in part.runs:
            record = Record(session.home.root, run.key)
            result, spec = record.result, record.spec
            assert result is not None
            assert spec is not None
            curve = [row["train/loss"] for row in record.metrics.rows() if "train/loss" in row]
            points = np.interp(
                np.linspace(0, len(curve) - 1, CURVE_POINTS), np.arange(len(curve)), curve
            )
            yield {
                "arm": expressions[run.arm],
                "changes": " ".join(sorted(name for name, _ in spec.plugins)),
                "lr": spec.recipe["lr"],
                "seed": run.seed,
                "diverged": int(result.diverged),
                "val/bpb": f"{result.metrics['val/bpb']:.6f}",
                "test/bpb": f"{result.metrics.get('test/bpb', float('nan')):.6f}",
                "seconds": f"{result.cost.seconds:.2f}",
                **{f"loss_{i}": f"{value:.4f}" for i, value in enumerate(points, start=1)},
            }


def write(table: list[dict[str, object]], path: Path) -> None:
    """Write the runs, each once, sorted."""
    unique = {(row["changes"], row["lr"], row["seed"]): row for row in table}
    text = io.StringIO()
    writer = csv.DictWriter(text, list(table[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(unique[key] for key in sorted(unique, key=str))
    path.write_bytes(lzma.compress(text.getvalue().encode()))


def main() -> None:
    """Train the missing runs and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bank", description=__doc__)
    parser.add_argument("--home", type=Path, help="folder for records; default: .ablab/ here")
    parser.add_argument("--workers", type=int, default=2, help="runs at a time")
    parser.add_argument("--seeds", type=int, default=20, help="seeds of each arm")
    parser.add_argument("--table", type=Path, default=TABLE, help="file to write")
    options = parser.parse_args()
    home = make_home(options.home)
    home.root.mkdir(parents=True, exist_ok=True)
    table: list[dict[str, object]] = []
    for request in requests(home.root, options.seeds):
        print(f"{request.name}: {' '.join(request.overrides)}", flush=True)
        table += rows(train(request, home, options.workers))
    write(table, options.table)
    print(f"{len(table)} runs, {options.table}: {options.table.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
