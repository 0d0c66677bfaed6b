"""Arms with a tokenizer or a context of their own: said, and nothing per token is compared between
unlike tokens.
"""

# ruff: noqa: F811  (the fixture `record` is another module's)

import pytest

from ablab.analysis.curves import curves_of
from ablab.analysis.scope import scope
from ablab.analysis.summarise import summarise
from ablab.report.evidence import again, ranges
from ablab.report.figures.losses import losses
from ablab.report.sentences import sentence
from tests.report.test_evidence import change, measure
from tests.report.test_report import finish, record  # noqa: F401
from tests.report.test_unlike_runs import put

PIECES = {"tokenizer": {"kind": "sentencepiece", "vocab": 4096, "model": "bpe"}}
PER_TOKEN = {"seconds_per_token", "decode_tokens_per_second", "flops_per_token"}


@pytest.fixture
def mixed(record):
    """The baseline has the study's bytes, the others SentencePiece, the last a longer context
    too.
    """
    base, mine, worse = record.read()["arms"]
    arms = [
        base,
        {**mine, "data": PIECES, "parameters": 6},
        {**worse, "data": {**PIECES, "context": 256}, "parameters": 6},
    ]
    first, last = record.read()["contrasts"]
    between = {"name": "between", "kind": "change", "weights": {"worse": 1.0, "mine <b>": -1.0}}
    change(record, arms=arms, contrasts=[first, last, between])
    finish(record)
    for number in range(3):
        put(record, number, {"kv_cache_bytes": 64})  # with it, peak memory is the run's own
    return record


def test_the_scope_names_what_is_the_arms_own(mixed, record):
    own = [
        "tokenizer of mine <b>, worse: sentencepiece (vocab 4096, model bpe)",
        "context of worse: 256 tokens",
    ]
    lines = scope(mixed.read())
    at = lines.index("data: text, tokenizer byte")
    assert lines[at + 1 : at + 3] == own
    data = dict(again(summarise(mixed), mixed.read(), mixed))["Data"]
    assert data == "; ".join(["text, tokenizer byte", *own, "fingerprint not recorded"])
    change(
        record,
        arms=[{k: v for k, v in arm.items() if k != "data"} for arm in record.read()["arms"]],
    )
    assert not any(line.startswith(("tokenizer", "context")) for line in scope(record.read()))


def test_costs_per_token_are_compared_between_like_tokens_alone(mixed):
    mine, _, between = summarise(mixed).effects
    assert mine.cost_reasons == dict.fromkeys(PER_TOKEN, "tokens differ")
    assert (mine.costs["parameters"], mine.costs["peak_memory_bytes"]) == pytest.approx((1.2, 1.0))
    assert {mine.costs[name] for name in PER_TOKEN} == {None}
    assert sentence(mine, "val/bpb").endswith(
        " Parameters +20 %, costs per token not compared: tokens differ."
    )
    assert between.cost_reasons == {}
    assert between.costs["seconds_per_token"] == pytest.approx(1.0)
    assert (
        "costs per token are not compared between unlike tokenizers: tokens differ"
        in summarise(mixed).notes
    )


def test_tokens_have_no_range_and_memory_has(mixed):
    summary = summarise(mixed)
    found = {r.name: r.verdict for r in ranges(summary.arms, summary.apart)}
    assert (found["tokens"], found["peak memory (bytes)"]) == (
        "not compared: tokens differ",
        "equal",
    )


def test_curves_of_losses_per_token_are_left_out(mixed):
    for key in ("00", "10"):
        rows = [{"step": s, "train/loss": 3.0, "cost/tokens": 20 * s} for s in (1, 3, 5)]
        measure(mixed, key, [*rows, {"step": 3, "val/bpb": 3.0}])
    found = curves_of(summarise(mixed), mixed.read(), mixed)
    assert [(curve.arm, curve.metric) for curve in found.curves] == [
        ("base", "val/bpb"),
        ("mine <b>", "val/bpb"),
    ]
    assert found.axis == "share of the budget"
    plot = losses(found)
    assert plot is not None
    assert plot.caption.endswith(
        "Training loss is left out: it is nats per token, and tokens differ between arms."
    )
