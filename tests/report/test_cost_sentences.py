"""What is said of a change's costs, on records made by hand."""

import json
from dataclasses import asdict, replace
from io import StringIO

import pytest
from rich.console import Console

from ablab.analysis.costs import UNLIKE, Costs, cost_of
from ablab.analysis.effect_summary import EffectSummary
from ablab.analysis.result_table import ResultTable
from ablab.analysis.timings import Timings
from ablab.files import write_json
from ablab.records.run_record import Record
from ablab.records.study_content import RunEntry
from ablab.report.costs import cost_phrases, costs_table
from ablab.stats.costs import Ratio
from ablab.train.result import RunCost, RunResult
from tests.handmade import change_between, make_arm, make_part, make_study, make_summary

ARMS = {"base": (1000, 10.0), "mqa": (900, 9.0)}
CHANGE = change_between("mqa", "base")


def result(speed, decode, *, memory=1000, cache=64, **changes):
    cost = RunCost(
        tokens=100,
        flops=1000.0,
        seconds=100 / speed,
        validation_seconds=0.0,
        tokens_per_second=speed,
        parameters=1000,
        peak_memory_bytes=memory,
        decode_tokens_per_second=decode,
        kv_cache_bytes=cache,
    )
    outcome = RunResult(
        diverged=False,
        steps=10,
        precision="fp32",
        device="cpu",
        threads=1,
        versions={},
        metrics={},
        cost=cost,
    )
    return replace(outcome, **changes)


SPEEDS = {"base": (100.0, 101.0, 99.0), "mqa": (90.0, 91.0, 89.0)}
DECODES = {"base": (50.0, 60.0, 40.0), "mqa": (55.0, 50.0, 60.0)}


def timings(speeds, decodes):
    """Return the times of arms by round, from their speeds in tokens per second."""
    return Timings(
        cells={
            "seconds_per_token": {
                (arm, r): 1 / speed for arm, own in speeds.items() for r, speed in enumerate(own)
            },
            "decode_tokens_per_second": {
                (arm, r): speed for arm, own in decodes.items() for r, speed in enumerate(own)
            },
        },
        first={arm: arm for arm in speeds},
        rounds=3,
    )


def costs_of(change=lambda outcome, arm, seed: outcome, decodes=DECODES):
    """Return the costs of two arms; `change` gives the result of a run in place of its own."""
    runs = [(arm, seed) for arm in ARMS for seed in range(3)]
    part = make_part(
        make_study(),
        arms=[make_arm(name, parameters=p, flops_per_token=f) for name, (p, f) in ARMS.items()],
        runs=[RunEntry(arm, seed, f"{arm}{seed}") for arm, seed in runs],
        contrasts=[CHANGE],
    )
    memory, cache = {"base": 1000, "mqa": 970}, {"base": 64, "mqa": 8}
    results = {
        f"{arm}{seed}": change(
            result(SPEEDS[arm][seed], DECODES[arm][seed], memory=memory[arm], cache=cache[arm]),
            arm,
            seed,
        )
        for arm, seed in runs
    }
    table = ResultTable(tuple(ARMS), part.runs, results)
    return Costs.of(part, table, timings(SPEEDS, decodes))


def of_change(**study_changes):
    costs = costs_of(**study_changes)
    return costs, EffectSummary(
        "mqa", "change", -0.0214, -0.03, -0.01, 0.01, **costs.of_effect(CHANGE)
    )


def test_ratios_means_and_words():
    costs, effect = of_change()
    assert costs.of_arm("mqa") == pytest.approx(
        {
            "seconds_per_token": (1 / 90 + 1 / 91 + 1 / 89) / 3,
            "peak_memory_bytes": 970,
            "decode_tokens_per_second": 55,
            "kv_cache_bytes": 8,
            "parameters": 900,
            "flops_per_token": 9.0,
            "tokens": 100,
            "seconds": 100 * (1 / 90 + 1 / 91 + 1 / 89) / 3,
        }
    )
    assert effect.costs == pytest.approx(
        {
            "seconds_per_token": (100 * 101 * 99 / (90 * 91 * 89)) ** (1 / 3),
            "peak_memory_bytes": 0.97,
            "kv_cache_bytes": 1 / 8,
            "decode_tokens_per_second": (55 * 50 * 60 / (50 * 60 * 40)) ** (1 / 3),
            "parameters": 0.9,
            "flops_per_token": 0.9,
        }
    )
    assert effect.cost_intervals.keys() == {"seconds_per_token", "decode_tokens_per_second"}
    # Decoding is 11 % faster on average and within the noise, so nothing is said of it.
    words = (
        "11 % slower per token, 3 % less memory, KV cache 1/8, parameters -10 %, "
        "FLOPs per token -10 %"
    )
    assert cost_phrases(effect.ratios) == words
    assert json.loads(json.dumps(effect.costs)) == effect.costs


def test_an_interaction_has_no_costs():
    assert costs_of().of_effect(replace(CHANGE, kind="interaction")) == {
        "costs": {},
        "cost_intervals": {},
        "cost_reasons": {},
    }


def test_runs_carried_out_unlike_are_not_compared():
    costs, effect = of_change(
        change=lambda outcome, arm, seed: (
            replace(outcome, device="H100") if arm == "mqa" else outcome
        )
    )
    assert costs.notes[-1] == f"costs of runs are not compared: {UNLIKE}"
    # Arms are timed in one process, wherever their runs were carried out.
    assert {name for name, value in effect.costs.items() if value is None} == {
        "peak_memory_bytes",
        "kv_cache_bytes",
    }


def test_results_of_earlier_versions_are_read(tmp_path):
    def earlier(outcome, arm, seed):
        content = asdict(outcome)
        del content["layout"]
        del content["cost"]["decode_tokens_per_second"]
        del content["cost"]["kv_cache_bytes"]
        record = Record(tmp_path, f"{arm}{seed}")
        record.folder.mkdir(parents=True, exist_ok=True)
        write_json(record.folder / "result.json", content)
        return record.result

    costs, effect = of_change(change=earlier)
    # Their peak memory on a CPU was that of a worker that had trained others before.
    for name in ("peak_memory_bytes", "kv_cache_bytes"):
        assert effect.costs[name] is None
        assert costs.of_arm("mqa")[name] is None
    on_gpu = earlier(result(1.0, 1.0, device="H100"), "base", 0)
    assert cost_of(on_gpu, "peak_memory_bytes") == 1000


def test_an_arm_that_cannot_decode_has_no_figure():
    costs, effect = of_change(decodes={"base": DECODES["base"]})
    assert (
        effect.costs["decode_tokens_per_second"]
        is costs.of_arm("mqa")["decode_tokens_per_second"]
        is None
    )
    assert costs.of_arm("base")["decode_tokens_per_second"] == 50


@pytest.mark.parametrize(
    ("name", "found", "words"),
    [
        ("seconds_per_token", Ratio(1.05, 1.02, 1.08), "5 % slower per token"),
        ("seconds_per_token", Ratio(1.05, 0.98, 1.12), "no difference in cost found"),
        ("seconds_per_token", Ratio(1.05), "times not compared"),
        ("seconds_per_token", Ratio(None), "costs not known"),
        ("seconds_per_token", Ratio(1.009, 1.008, 1.01), "no difference in cost found"),
        ("seconds_per_token", Ratio(1 / 1.1, 0.8, 0.99), "10 % faster per token"),
        ("seconds_per_token", Ratio(2.1, 2, 2.2), "2.1 × the time per token"),
        ("seconds_per_token", Ratio(0.5, 0.4, 0.6), "2 × as fast per token"),
        ("decode_tokens_per_second", Ratio(1.4, 1.2, 1.6), "decodes at 1.40 × the speed"),
        ("decode_tokens_per_second", Ratio(1 / 1.07, 0.9, 0.97), "decodes at 0.93 × the speed"),
        ("peak_memory_bytes", Ratio(1.03), "3 % more memory"),
        ("peak_memory_bytes", Ratio(0.5), "1/2 the memory"),
        ("kv_cache_bytes", Ratio(1 / 8), "KV cache 1/8"),
        ("kv_cache_bytes", Ratio(0.41), "KV cache 0.41 ×"),
        ("kv_cache_bytes", Ratio(0.9), "KV cache 10 % smaller"),
        ("parameters", Ratio(1.002), "parameters +0.2 %"),
        ("parameters", Ratio(1.0005), "no difference in cost found"),
        ("flops_per_token", Ratio(1.5), "FLOPs per token 1.5 ×"),
        ("parameters", Ratio(None), "costs not known"),
    ],
)
def test_words(name, found, words):
    assert cost_phrases({name: found}) == words


def test_the_table_fits_80_columns_and_brackets_what_is_not_told_from_1():
    _, effect = of_change()
    long = EffectSummary(
        "untied_embeddings [in the middle]",
        "change",
        *[None] * 4,
        costs=dict.fromkeys(effect.costs),
    )
    console = Console(width=80, record=True, file=StringIO())
    interaction = EffectSummary("a × b", "interaction", *[None] * 4)
    console.print(costs_table(make_summary(effects=[effect, long, interaction])))
    text = console.export_text()
    assert all(len(line) <= 80 for line in text.splitlines())
    row = next(line for line in text.splitlines() if "mqa" in line)
    assert [cell.strip() for cell in row.split("│")[1:-1]] == [
        "mqa",
        "×1.11",
        "×0.970",
        "(×1.11)",
        "×0.125",
        "×0.900",
    ]
    assert "[in the" in text
    assert "a × b" not in text
