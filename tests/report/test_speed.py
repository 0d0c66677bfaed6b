"""How long a report takes: processor time, since other work on the machine is not the report's."""

import json
import time
from itertools import product

import pytest

from ablab.analysis.summarise import summarise
from ablab.files import write_json
from ablab.records.home import StudyRecord, make_home
from ablab.report.files import write_files
from tests.standin import result


def large(home, changes, seeds):
    """The record of a full factorial of so many changes, and of its runs: a hundred rows of
    training loss each.
    """
    names = [f"change{i}" for i in range(changes)]
    every = product((0, 1), repeat=changes)
    arms = {
        levels: " + ".join(["gpt2", *(n for n, on in zip(names, levels, strict=True) if on)])
        for levels in every
    }
    arm = {
        "parameters": 5,
        "tokens": 1000,
        "flops_per_token": 10.0,
        "steps": 100,
        "plugins": [],
        "recipe": {"lr": 0.001},
    }
    config = {
        "question": "Which?",
        "metric": "val/bpb",
        "budget": {"tokens": 1000.0},
        "design": {"kind": "factorial"},
        "seeds": seeds,
        "model": {"layers": 1},
        "data": {"source": "text", "tokenizer": {"kind": "byte"}},
    }
    half = len(arms) / 2
    contrasts = [
        {
            "name": name,
            "kind": "change",
            "weights": {a: (1 if levels[i] else -1) / half for levels, a in arms.items()},
        }
        for i, name in enumerate(names)
    ]
    runs = [
        {"arm": a, "seed": s, "key": f"{i}-{s}"}
        for i, a in enumerate(arms.values())
        for s in range(seeds)
    ]
    record = StudyRecord(home, f"factorial{changes}", "abc")
    record.path.parent.mkdir(parents=True)
    write_json(
        record.path,
        {
            "config": config,
            "arms": [{"name": name, **arm} for name in arms.values()],
            "contrasts": contrasts,
            "infeasible": {},
            "runs": runs,
            "sources": {"command": "x.yaml", "flop_convention": "counted"},
        },
    )
    for number, run in enumerate(runs):
        folder = home.root / "runs" / run["key"]
        folder.mkdir(parents=True)
        end = 2.0 + 0.001 * (number * 7919 % 100)
        rows = [
            {"step": s, "train/loss": end + 1 / s, "cost/tokens": 10 * s} for s in range(1, 101)
        ]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        write_json(folder / "result.json", result(end, seconds=1.0 + number % 13), sync=False)
    return record


@pytest.mark.parametrize(
    ("changes", "seeds", "seconds", "bytes_"), [(4, 4, 15, 3e6), (8, 4, 60, 5e6)]
)
def test_it_is_made_in_time_and_stays_small(tmp_path, changes, seeds, seconds, bytes_):
    record = large(make_home(tmp_path), changes, seeds)
    start = time.process_time()
    summary = summarise(record)
    page = write_files(summary, record)[0]
    assert summary.finished == 2**changes * seeds
    assert time.process_time() - start < seconds
    assert page.stat().st_size < bytes_
