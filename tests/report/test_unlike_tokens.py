"""Arms with a tokenizer or a context of their own: said, and nothing per token is compared between
unlike tokens.
"""

# ruff: noqa: F811  (the fixture `record` is another module's)

from dataclasses import replace

import pytest

from ablab.analysis.curves import curves_of
from ablab.analysis.summarise import summarise
from ablab.report.evidence import how_to_repeat, ranges
from ablab.report.figures.losses import losses
from ablab.report.scope import scope
from ablab.report.sentences import sentence
from tests.handmade import change_between, change_part, only_part
from tests.report.test_evidence import measure
from tests.report.test_report import finish, record  # noqa: F401

PIECES = {"tokenizer": {"kind": "sentencepiece", "vocab": 4096, "model": "bpe"}}
PER_TOKEN = {"seconds_per_token", "decode_tokens_per_second", "flops_per_token"}


@pytest.fixture
def mixed(record):
    """The baseline has the study's bytes, the others SentencePiece, the last a longer context
    too.
    """
    part = only_part(record)
    base, mine, worse = part.arms
    arms = (
        base,
        replace(mine, data=PIECES, parameters=6),
        replace(worse, data={**PIECES, "context": 256}, parameters=6),
    )
    between = change_between("worse", "mine <b>", "between")
    change_part(record, arms=arms, contrasts=(*part.contrasts, between))
    finish(record)
    return record


def test_the_scope_names_what_is_the_arms_own(mixed, record):
    own = [
        "tokenizer of mine <b>, worse: sentencepiece (vocab 4096, model bpe)",
        "context of worse: 256 tokens",
    ]
    lines = scope(only_part(mixed))
    at = lines.index("data: text, tokenizer byte")
    assert lines[at + 1 : at + 3] == own
    data = dict(how_to_repeat(summarise(mixed), mixed.home))["Data"]
    assert data == "; ".join(["text, tokenizer byte", *own, "fingerprint not recorded"])
    change_part(record, arms=tuple(replace(arm, data={}) for arm in only_part(record).arms))
    assert not any(line.startswith(("tokenizer", "context")) for line in scope(only_part(record)))


def test_costs_per_token_are_compared_between_like_tokens_alone(mixed):
    mine, _, between = summarise(mixed).parts[0].effects
    assert mine.cost_reasons == dict.fromkeys(PER_TOKEN, "tokens differ")
    assert (mine.costs["parameters"], mine.costs["peak_memory_bytes"]) == pytest.approx((1.2, 1.0))
    assert {mine.costs[name] for name in PER_TOKEN} == {None}
    assert sentence(mine, "val/bpb").endswith(
        " Parameters +20 %, costs per token not compared: tokens differ."
    )
    assert between.cost_reasons == {}
    assert between.costs["flops_per_token"] == pytest.approx(1.0)
    assert (
        "costs per token are not compared between unlike tokenizers: tokens differ"
        in summarise(mixed).parts[0].notes
    )


def test_tokens_have_no_range_and_memory_has(mixed):
    summary = summarise(mixed).parts[0]
    found = {r.name: r.verdict for r in ranges(summary.arms, summary.not_compared)}
    assert (found["tokens"], found["peak memory (bytes)"]) == (
        "not compared: tokens differ",
        "equal",
    )


def test_curves_of_losses_per_token_are_left_out(mixed):
    for key in ("00", "10"):
        rows = [{"step": s, "train/loss": 3.0, "cost/tokens": 20 * s} for s in (1, 3, 5)]
        measure(mixed, key, [*rows, {"step": 3, "val/bpb": 3.0}])
    found = curves_of(summarise(mixed).parts[0], mixed.home.root)
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
