"""Noise, effects and time by recipe, at small sizes: `python -m benchmarks.recipes`.

Every setting changes one thing about a starting point, and trains `gpt2` and three changes to it
over several seeds, as a study of its own. The lines show the run-to-run standard deviation, the
effects on val/bpb with half their 95 % intervals, and the training seconds per run. A recipe is
good for small studies if its noise is small beside the effects, and if the effects do not turn
with it.

Runs are kept in the home (`--home`, by default `.ablab/` here), so that a benchmark that was
interrupted goes on, and a setting that is finished is only read. Settings are tried in the order of
the list; `--minutes` bounds the time after which no further one is begun. Writes recipes.csv and
recipes.json into the home.
"""

import argparse
import csv
import json
import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import fmean
from time import monotonic

import torch

from ablab.analysis.summarise import summarise
from ablab.analysis.summary import PartSummary
from ablab.execute.request import Request
from ablab.execute.session import Session
from ablab.records.home import make_home
from benchmarks.training import train

STUDY = """\
question: How noisy is this recipe, and what does it say about three changes to GPT-2?
arms: {gpt2: gpt2, rope: gpt2 + rope, untied: gpt2 + untied_embeddings, swiglu: gpt2 + swiglu}
model: {layers: 2, width: 64, heads: 2, context: 128}
data: {source: stdlib, tokenizer: {kind: bpe, vocab: 1024}}
budget: {flops: 2.0e+11}
recipe:
  batch_tokens: 256
  lr: 4.0e-3
  schedule: linear
  warmup: 0.3
  weight_decay: 0.1
  clip: 1.0
  plugins: width_init
validate_at: []
"""
BASELINE = "gpt2"
CHANGES = ("rope", "untied", "swiglu")
# Each setting as overrides of the study, the most telling ones first.
SETTINGS: dict[str, tuple[str, ...]] = {
    "start": (),
    "init 0.02": ("recipe.plugins=null",),
    "positions too": ("recipe.plugins=width_init(positions=true)",),
    "warm-up 0.1": ("recipe.warmup=0.1",),
    "lr 2e-3": ("recipe.lr=2.0e-3",),
    "lr 8e-3": ("recipe.lr=8.0e-3",),
    "batch 512": ("recipe.batch_tokens=512",),
    "cosine": ("recipe.schedule=cosine",),
    "1e11 FLOPs": ("budget={flops: 1.0e+11}",),
    "3 × 96": ("model.layers=3", "model.width=96", "model.heads=3"),
    "4e11 FLOPs": ("budget={flops: 4.0e+11}",),
}


@dataclass(frozen=True)
class Row:
    """The outcome of one setting; None where too little is finished, or an arm diverged."""

    setting: str
    steps: int | None
    seeds: int
    sd: float | None
    baseline: float | None
    baseline_sd: float | None
    seconds: float
    scoring: float | None
    diverged: int
    rope: float | None
    rope_half: float | None
    untied: float | None
    untied_half: float | None
    swiglu: float | None
    swiglu_half: float | None


def row(setting: str, session: Session) -> Row:
    """Return the outcome of a setting whose runs are finished."""
    summary = summarise(session.record)
    (part,) = summary.parts
    time = summary.time
    base = next(arm for arm in part.arms if arm.name == BASELINE)
    return Row(
        setting=setting,
        steps=session.planned.plan.plans[0].arms[0].steps,
        seeds=base.n,
        sd=part.sd,
        baseline=base.mean,
        baseline_sd=base.sd,
        seconds=fmean(arm.seconds or 0.0 for arm in part.arms),
        scoring=time.validation / (1 - time.other) if time else None,
        diverged=sum(len(arm.diverged) for arm in part.arms),
        **_effects(part),
    )


def _effects(part: PartSummary) -> dict[str, float | None]:
    """Return each change's effect and half the width of its interval."""
    found: dict[str, float | None] = {}
    for effect in part.effects:
        name = next(change for change in CHANGES if change in effect.name)
        found[name] = effect.estimate
        found[f"{name}_half"] = None
        if effect.low is not None and effect.high is not None:
            found[f"{name}_half"] = (effect.high - effect.low) / 2
    return found


def lines(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the table in plain text."""
    yield (
        f"{'setting':<14} {'steps':>5} {'seeds':>5} {'sd':>6} {'gpt2':>6} {'its sd':>6} "
        + " ".join(f"{name:>15}" for name in CHANGES)
        + f" {'s/run':>6} {'scoring':>7} {'diverged':>8}"
    )
    for each in rows:
        effects = [
            f"{_number(getattr(each, name), '+.3f')} ± {_number(getattr(each, f'{name}_half'))}"
            for name in CHANGES
        ]
        yield (
            f"{each.setting:<14} {each.steps or 0:>5} {each.seeds:>5} {_number(each.sd, '.4f'):>6} "
            f"{_number(each.baseline):>6} {_number(each.baseline_sd, '.4f'):>6} "
            + " ".join(f"{effect:>15}" for effect in effects)
            + f" {each.seconds:>6.1f} {_number(each.scoring, '.1%'):>7} {each.diverged:>8}"
        )


def _number(value: float | None, form: str = ".3f") -> str:
    return "–" if value is None else format(value, form)


def write(rows: Sequence[Row], folder: Path) -> None:
    """Write recipes.csv and recipes.json."""
    content = [asdict(each) for each in rows]
    with (folder / "recipes.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, [field.name for field in fields(Row)])
        table.writeheader()
        table.writerows(content)
    (folder / "recipes.json").write_text(json.dumps(content, indent=1))


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number of 1 or more is expected, not {text!r}")
    return int(text)


def options() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description="Noise, effects and time by recipe.")
    parser.add_argument("--home", type=Path, help="folder for records; default: .ablab/ here")
    parser.add_argument("--seeds", type=_positive, default=4, help="seeds of each arm (default: 4)")
    parser.add_argument("--workers", type=_positive, default=1, help="runs at a time (default: 1)")
    parser.add_argument("--minutes", type=float, default=15.0, help="begin no setting after these")
    parser.add_argument("--only", nargs="+", choices=list(SETTINGS), help="settings to try")
    return parser.parse_args()


def main() -> None:
    """Train the settings and print their table."""
    asked = options()
    home = make_home(asked.home)
    home.root.mkdir(parents=True, exist_ok=True)
    file = home.root / "recipes.yaml"
    file.write_text(STUDY)
    began = monotonic()
    rows = []
    for setting in asked.only or SETTINGS:
        if monotonic() - began > 60 * asked.minutes:
            print(f"out of time: {setting} and those after it are left for another call")
            break
        overrides = (f"seeds={asked.seeds}", *SETTINGS[setting])
        print(f"{setting}: {' '.join(overrides)}", flush=True)
        session = train(Request(file, None, overrides, ()), home, asked.workers)
        rows.append(row(setting, session))
        write(rows, home.root)
    print(
        f"\n{platform.processor() or platform.machine()}, torch {torch.__version__}, "
        f"{asked.workers} run at a time with 1 thread, load average {os.getloadavg()[0]:.1f}"
    )
    print("\n".join(lines(rows)))


if __name__ == "__main__":
    main()
