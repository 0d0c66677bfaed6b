"""How long a report takes: processor time, since other work on the machine is not the report's."""

import json
import time
from dataclasses import asdict
from itertools import product

import pytest

from ablab.analysis.summarise import summarise
from ablab.design.layout import Contrast
from ablab.files import write_json
from ablab.records.home import make_home
from ablab.records.study_content import RunEntry
from ablab.records.study_record import StudyRecord
from ablab.report.files import write_files
from tests.handmade import make_arm, make_content, make_part, make_study
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
    half = len(arms) / 2
    part = make_part(
        make_study(
            question="Which?", budget={"tokens": 1000.0}, design={"kind": "factorial"}, seeds=seeds
        ),
        arms=[make_arm(name, tokens=1000, steps=100) for name in arms.values()],
        runs=[
            RunEntry(a, s, f"{i}-{s}") for i, a in enumerate(arms.values()) for s in range(seeds)
        ],
        contrasts=[
            Contrast(name, "change", {a: (1 if on[i] else -1) / half for on, a in arms.items()})
            for i, name in enumerate(names)
        ],
    )
    record = StudyRecord(home, f"factorial{changes}", "abc")
    record.write(make_content(part, name=record.name))
    for number, run in enumerate(part.runs):
        folder = home.root / "runs" / run.key
        folder.mkdir(parents=True)
        end = 2.0 + 0.001 * (number * 7919 % 100)
        rows = [
            {"step": s, "train/loss": end + 1 / s, "cost/tokens": 10 * s} for s in range(1, 101)
        ]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        outcome = result(end, seconds=1.0 + number % 13)
        write_json(folder / "result.json", asdict(outcome), sync=False)
    return record


@pytest.mark.parametrize(
    ("changes", "seeds", "seconds", "bytes_"), [(4, 4, 15, 3e6), (8, 4, 60, 5e6)]
)
def test_it_is_made_in_time_and_stays_small(tmp_path, changes, seeds, seconds, bytes_):
    record = large(make_home(tmp_path), changes, seeds)
    start = time.process_time()
    summary = summarise(record)
    page = write_files(summary, record)[0]
    assert summary.progress.finished == 2**changes * seeds
    assert time.process_time() - start < seconds
    assert page.stat().st_size < bytes_
