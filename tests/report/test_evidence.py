"""What the report shows beside its summary, against values worked out by hand."""

# ruff: noqa: F811  (the fixture `record` is another module's)

import json
import re
from dataclasses import replace
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest

from ablab.analysis.curves import colored_arms, curves_of
from ablab.analysis.summarise import summarise
from ablab.analysis.waterfall_steps import steps_of
from ablab.design.layout import Contrast
from ablab.metrics import METRICS
from ablab.records.run_record import Record
from ablab.records.study_content import Expected
from ablab.report.evidence import evidence_of, excluded, ranges
from ablab.report.figures import figures_of
from ablab.report.figures.front import fronts, on_front, same_costs
from ablab.report.figures.waterfall import caption
from ablab.text.truncate import bare
from tests.handmade import change_part, change_study, make_arm_summary, only_part
from tests.report.test_report import VALUES, finish, record  # noqa: F401


def measure(record, key, rows):
    folder = record.home.root / "runs" / key
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.jsonl").write_text(
        "".join(json.dumps({"time": 0.0, **row}) + "\n" for row in rows)
    )


def curves_in(record):
    return curves_of(summarise(record).parts[0], record.home.root)


class TestCurves:
    def test_the_mean_and_the_range_of_the_seeds_by_tokens(self, record):
        finish(record, {"base": (2.5, 2.7)})
        for seed, losses in enumerate(((4.0, 3.0, 2.0), (4.4, 3.2, 2.6))):
            at = zip((1, 3, 5), losses, strict=True)
            rows = [
                {"step": step, "train/loss": loss, "cost/tokens": 20 * step} for step, loss in at
            ]
            measure(record, f"0{seed}", [*rows, {"step": 3, "val/bpb": 3.0 + seed}])
        found = curves_in(record)
        train, validation = found.curves
        assert (found.axis, found.seeds, train.arm, train.metric) == (
            "tokens",
            2,
            "base",
            "train/loss",
        )
        assert train.x == pytest.approx([20, 60, 100])
        assert train.mean == pytest.approx([4.2, 3.1, 2.3])
        assert train.low == pytest.approx([4.0, 3.0, 2.0])
        assert train.high == pytest.approx([4.4, 3.2, 2.6])
        # A validation says its step alone; the run's end is in its result.
        assert validation.x == pytest.approx([60, 100])
        assert validation.mean == pytest.approx([3.5, 2.6])

    def test_arms_of_unlike_tokens_are_shown_by_shares(self, record):
        base, mine, worse = only_part(record).arms
        change_part(record, arms=(base, replace(mine, tokens=400), worse))
        for key, tokens in (("00", 100), ("10", 400)):
            measure(
                record,
                key,
                [{"step": s, "train/loss": 3.0, "cost/tokens": tokens * s / 4} for s in (1, 2, 4)],
            )
        found = curves_in(record)
        assert found.axis == "share of the budget"
        assert [list(curve.x) for curve in found.curves] == [[0.25, 0.5, 1.0]] * 2

    def test_long_curves_are_thinned_and_keep_their_ends(self, record):
        measure(
            record,
            "00",
            [{"step": s, "train/loss": 1 / s, "cost/tokens": s / 10} for s in range(1, 1001)],
        )
        (curve,) = curves_in(record).curves
        assert len(curve.x) == 100
        assert (curve.mean[0], curve.mean[-1]) == (1.0, 0.001)

    def test_a_seed_that_was_cut_off_counts_as_far_as_it_goes(self, record):
        for key, last in (("00", 4), ("01", 2)):
            measure(
                record,
                key,
                [
                    {"step": s, "train/loss": 1.0 + int(key), "cost/tokens": 25 * s}
                    for s in range(1, last + 1)
                ],
            )
        (curve,) = curves_in(record).curves
        assert curve.mean == pytest.approx([1.5, 1.5, 1.0, 1.0])

    def test_under_a_budget_of_seconds_a_run_goes_as_far_as_its_seconds(self, record):
        """Half of four seconds are spent; the run that says no seconds is shown once it is
        finished, and not before.
        """
        arms = [replace(arm, tokens=None) for arm in only_part(record).arms]
        change_part(record, arms=tuple(arms))
        change_study(record, budget={"seconds": 4.0})
        rows = [
            {"step": s, "train/loss": 3.0, "cost/tokens": 30 * s, "cost/tokens_per_second": 60}
            for s in (1, 2, 4)
        ]
        measure(record, "00", rows)
        measure(
            record, "10", [{"step": s, "train/loss": 3.0, "cost/tokens": 30 * s} for s in (1, 2, 4)]
        )
        (curve,) = curves_in(record).curves
        assert (curve.arm, list(curve.x)) == ("base", [0.125, 0.25, 0.5])
        finish(record, {"mine <b>": (2.5,)})
        curves = curves_in(record).curves
        assert [(c.arm, list(c.x)) for c in curves if c.metric == "train/loss"] == [
            ("base", [0.125, 0.25, 0.5]),
            ("mine <b>", [0.25, 0.5, 1.0]),
        ]

    def test_losses_that_are_not_finite_are_left_out(self, record):
        finish(record, {"base": (float("nan"),)}, diverged={("base", 0)})
        losses = ((1, 3.0), (2, 2.0), (3, float("nan")))
        measure(
            record, "00", [{"step": s, "train/loss": v, "cost/tokens": 20 * s} for s, v in losses]
        )
        (curve,) = curves_in(record).curves
        assert curve.mean == pytest.approx([3.0, 2.0])

    def test_of_many_arms_the_telling_ones_are_told_apart(self, studies):
        part = summarise(studies[0]).parts[0]
        best = min(part.arms, key=lambda arm: arm.mean).name
        assert colored_arms(part) == ["gpt2", best, "llama"]


class TestSteps:
    def make(self, record, kind, weights):
        finish(record)
        change_part(record, contrasts=tuple(Contrast(*fields) for fields in weights))
        change_study(record, design={"kind": kind})
        return steps_of(summarise(record).parts[0])

    def test_the_steps_of_a_path_sum_to_the_whole(self, record):
        arms = [("base", "mine <b>"), ("mine <b>", "worse")]
        path = [
            (f"step {i}", "change", {after: 1.0, before: -1.0})
            for i, (before, after) in enumerate(arms)
        ]
        found = self.make(record, "path", [*path, ("all", "total", {"worse": 1.0, "base": -1.0})])
        assert found is not None
        means = {arm: np.mean(values) for arm, values in VALUES.items()}
        assert [step.estimate for step in found.changes] == pytest.approx(
            [means[b] - means[a] for a, b in arms]
        )
        assert not any(step.rest for step in found.changes)
        assert (found.start, found.end, found.first) == ("base", "worse", pytest.approx(2.55))

    def test_what_the_changes_do_together_is_said(self, record):
        weights = [
            ("a", "change", {"worse": 1.0, "mine <b>": -1.0}),
            ("all", "total", {"worse": 1.0, "base": -1.0}),
        ]
        found = self.make(record, "leave_one_out", weights)
        assert found is not None
        assert [(step.name, step.rest) for step in found.changes] == [
            ("a", False),
            ("together (interactions)", True),
        ]
        assert found.first + sum(step.estimate for step in found.changes) == pytest.approx(2.65)
        assert "do not sum to the whole" in caption(found)

    @pytest.mark.parametrize("weights", [[], [("a", "change", {"worse": 1.0, "base": -1.0})]])
    def test_without_two_ends_there_are_none(self, record, weights):
        assert self.make(record, "compare", weights) is None


def arm(**costs):
    known = {"tokens": 100, "flops": 1e9, "parameters": 10, "peak_memory_bytes": 1.0}
    return make_arm_summary("gpt2", **{**known, **costs})


def test_what_was_equal_and_what_was_not():
    found = {r.name: r for r in ranges([arm(), arm(parameters=1000, flops=1.005e9)], {})}
    assert [(r.verdict, r.equal) for r in found.values()] == [
        ("equal", True),
        ("equal within 0.5 %", True),
        ("not equal: the most is 100 times the least", False),
        ("equal", True),
    ]
    assert (found["parameters"].least, found["parameters"].most) == ("10", "1k")
    assert "training seconds" not in found  # nothing ran: nothing is claimed


def test_what_was_left_out_and_why(record):
    finish(record, {**VALUES, "worse": (2.6,)}, diverged={("worse", 0)})
    Record(record.home.root, "21").fail("no space left on /mnt/big/disk.img")
    change_part(
        record,
        infeasible={"gpt2 + x": "x and y both write norm"},
        expected=Expected(runs=9, trials=0),
    )
    assert excluded(summarise(record)) == [
        "diverged: worse (seed 0): no mean, and no effect that needs it",
        "not estimable: worse: an arm that it needs diverged",
        "failed: worse, seed 1: no space left on disk.img",
        "infeasible: gpt2 + x: x and y both write norm",
        "missing: 2 of 9 runs are not finished",
    ]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/me/studies/x.yaml seeds=3", "x.yaml seeds=3"),
        ("studies/x.yaml", "studies/x.yaml"),
        ("a/b and c / d", "a/b and c / d"),
        ("data.files=['/data/own/*.txt']", "data.files=['*.txt']"),
        ("~/books/*.txt", "*.txt"),
        ("val/bpb", "val/bpb"),
        ("see https://example.org/a/b", "see https://example.org/a/b"),
        ("../up/x.yaml", "../up/x.yaml"),
    ],
)
def test_no_folder_of_this_machine_is_shown(text, shown):
    assert bare(text) == shown


def test_the_front_is_what_none_dominates():
    rng = np.random.default_rng(0)
    for better, name in ((-1, "seconds"), (1, "decode_tokens_per_second")):
        cost = METRICS[f"cost/{name}"]
        points = {i: (float(x), float(y)) for i, (x, y) in enumerate(rng.integers(0, 8, (30, 2)))}

        def dominates(a, b, sign=better):
            (xa, ya), (xb, yb) = ((-sign * x, y) for x, y in (a, b))
            return xa <= xb and ya <= yb and (xa, ya) != (xb, yb)

        best = {
            points[i] for i in points if not any(dominates(points[j], points[i]) for j in points)
        }
        found = [points[i] for i in on_front(points, (cost, METRICS["val/bpb"]))]
        assert set(found) == best
        assert len(found) == len(best)  # of equal points, one
        assert all(a[1] > b[1] for a, b in pairwise(found))


def test_costs_that_are_the_same_have_no_front(studies):
    summary = summarise(studies[0]).parts[0]
    assert [plot.name for plot in fronts(summary)] == [
        "front-seconds",
        "front-memory",
        "front-decode",
        "front-parameters",
    ]
    assert same_costs(summary) == ["training FLOPs", "KV cache (bytes a sequence)"]


def test_costs_measured_beside_the_summary_are_shown(studies):
    summary = summarise(studies[0]).parts[0]
    for number, found in enumerate(summary.arms):
        object.__setattr__(
            found, "cost", {"decode_tokens_per_second": 100.0 + number, "kv_cache_bytes": 512.0}
        )
    assert [plot.name for plot in fronts(summary)] == [
        "front-seconds",
        "front-memory",
        "front-decode",
        "front-parameters",
    ]


def test_every_file_is_whole(written, studies):
    names = ["forest", "waterfall", "losses", "interactions", "bowls"]
    names += ["front-seconds", "front-memory", "front-decode", "front-parameters"]
    assert {name for name in written if name.endswith("svg")} == {f"-{name}.svg" for name in names}
    for name, file in written.items():
        if name.endswith(".svg"):
            root = ElementTree.fromstring(file.read_text())
            assert root.findtext("{http://www.w3.org/2000/svg}title") == root.get("aria-label")
            assert "var(" not in file.read_text()
            assert written[name.replace(".svg", ".png")].read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert written[".html"].stat().st_size < 3e6
    page = written[".html"].read_text()
    assert str(studies[0].home.root.parent) not in page


def test_the_markdown_names_its_figures_and_its_tables_are_whole(written):
    text = written[".md"].read_text()
    figures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text)
    assert {(written[".md"].parent / name).exists() for name in figures} == {True}
    assert len(figures) == 9
    tables = re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE)
    assert len(tables) == 4
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1
    assert "- ▼ rope helps: " in text
    assert "untied\\_embeddings" in text


def test_the_markdown_gives_no_meaning_to_names(record):
    finish(record)
    from ablab.report.files import write_files

    text = next(
        file for file in write_files(summarise(record), record) if file.suffix == ".md"
    ).read_text()
    assert r"Does \<i\>it\</i\> help?" in text
    assert "<i>" not in text


def test_figures_of_an_unfinished_study(record):
    change_part(record, contrasts=())
    part = summarise(record).parts[0]
    assert figures_of(part, evidence_of(part, record.home.root)).files == []
