"""Arms of one study that differ in tokenizer or context."""

import pytest

from ablab.errors import UserError
from ablab.execute.session import Request, planned
from tests.conftest import results

TEXT = """
from: gpt2
design: {{kind: compare, baseline: byte}}
arms: {{byte: gpt2, piece: gpt2 + sentencepiece(vocab=320)}}
model: {{layers: 1, width: 16, heads: 2, context: 16}}
data: {{source: text, files: ["{corpus}/*.txt"], tokenizer: {{kind: byte}}, holdout: 0.2}}
budget: {{flops: 2.0e+8}}
seeds: 2
recipe: {{batch_tokens: 128}}
"""


@pytest.fixture
def study(tmp_path, corpus):
    def write(old="", new=""):
        file = tmp_path / "x.yaml"
        file.write_text(TEXT.format(corpus=corpus).replace(old, new, 1))
        return file

    return write


def plan(file, plugins=()):
    (part,) = planned(Request(file, None, (), plugins)).plan.parts
    return part.plan


def test_each_arm_has_its_own_vocabulary_and_store(study):
    made = plan(study())
    byte, piece = made.arms
    assert piece.parameters - byte.parameters == (320 - 257) * 16
    assert {run.dims["vocab"] for run in made.runs if run.arm == "piece"} == {320}
    assert len({run.data for run in made.runs}) == len(made.data) == 2
    kinds = {made.data[run.data].tokenizer.kind for run in made.runs}
    assert kinds == {"byte", "sentencepiece"}


def test_what_an_arm_has_of_its_own_is_in_its_plan(study):
    byte, piece = plan(study()).arms
    assert (byte.data, piece.data) == (
        {},
        {"tokenizer": {"kind": "sentencepiece", "vocab": 320, "model": "bpe"}},
    )


def test_losses_per_token_of_unlike_tokens_are_refused(study):
    with pytest.raises(
        UserError,
        match=r"x.yaml:9:\d+: metric: it is nats per token.*tokenizers differ: .*; give `val/bpb`",
    ):
        plan(study("seeds: 2\n", "seeds: 2\nmetric: val/loss\n"))


@pytest.mark.parametrize("reverse", [False, True])
def test_the_order_of_arms_does_not_decide_what_is_refused(study, tmp_path, reverse):
    arms = ["byte: gpt2", "rope: gpt2 + rope", "piece: gpt2 + sentencepiece(vocab=320)"]
    if reverse:
        arms.reverse()
    file = study("seeds: 2\n", "seeds: 2\nmetric: val/loss\n")
    listed = "".join(f"\n  {arm}" for arm in arms)
    text = file.read_text().replace(
        "arms: {byte: gpt2, piece: gpt2 + sentencepiece(vocab=320)}", f"arms:{listed}"
    )
    file.write_text(text)
    with pytest.raises(UserError) as error:
        plan(file)
    first, differing, line = ("piece", "rope", 6) if reverse else ("byte", "piece", 7)
    assert str(error.value) == (
        f"{file}:12:1: metric: it is nats per token, and the arms' tokenizers differ: that of "
        f"{differing!r} ({file}:{line}:3) is not that of {first!r}; give `val/bpb`, which does "
        "not depend on the tokenizer"
    )


@pytest.mark.parametrize("budget", ["tokens: 1.0e+4", "steps: 20"])
def test_an_unequal_budget_is_refused(study, budget):
    with pytest.raises(
        UserError,
        match=r"x.yaml:4:\d+: arms.piece: its tokenizer is not the study's.*`flops` budget",
    ):
        plan(study("flops: 2.0e+8", budget))


def test_the_studys_own_tokenizer_is_no_difference(study):
    same = study("tokenizer: {kind: byte}", "tokenizer: {kind: sentencepiece, vocab: 320}")
    same.write_text(same.read_text().replace("flops: 2.0e+8", "steps: 20") + "metric: val/loss\n")
    made = plan(same)
    assert len(made.data) == 1
    assert [arm.data for arm in made.arms] == [{}, {}]


PLUGIN = '''
from ablab.plugin import Edit, TokenizerChoice, plugin


@plugin(source="none")
class Longer:
    """A longer context."""

    def edit(self) -> Edit:
        return {"data.context": 32}


@plugin(source="none")
class Odd:
    """A tokenizer that is not there."""

    def edit(self) -> Edit:
        return {"data.tokenizer": TokenizerChoice("morse")}
'''


def test_an_arm_may_have_its_own_context(study, tmp_path):
    (tmp_path / "ideas").mkdir()
    (tmp_path / "ideas" / "mine.py").write_text(PLUGIN)
    made = plan(study("gpt2 + sentencepiece(vocab=320)", "gpt2 + longer"), (tmp_path / "ideas",))
    assert {run.arm: run.dims["context"] for run in made.runs} == {"byte": 16, "piece": 32}
    assert [arm.data for arm in made.arms] == [{}, {"context": 32}]
    assert len(made.data) == 1
    with pytest.raises(UserError, match=r"arms.piece: data.tokenizer.*'byte'"):
        plan(study("gpt2 + sentencepiece(vocab=320)", "gpt2 + odd"), (tmp_path / "ideas",))


@pytest.mark.system
def test_the_study_runs_and_scores_the_same_bytes(ablab, study, tmp_path):
    done = ablab("run", study(), "--home", tmp_path / "home", "--workers", "1")
    assert done.returncode == 0, done.stderr
    assert len(results(tmp_path / "home")) == 4
    from ablab.data.store import open_store

    byte, piece = (
        open_store(folder) for folder in sorted((tmp_path / "home" / "tokens").iterdir())
    )
    for split in ("val", "test"):
        assert byte.splits[split].bytes == piece.splits[split].bytes
        assert byte.splits[split].tokens != piece.splits[split].tokens


def test_inspect_knows_the_vocabulary(registry):
    from ablab.arch.composition.model import architecture

    assert architecture("gpt2 + sentencepiece(vocab=500)", registry, {}).dims.vocab == 500
    assert (
        architecture("gpt2 + sentencepiece(vocab=500)", registry, {"vocab": 700}).dims.vocab == 700
    )
