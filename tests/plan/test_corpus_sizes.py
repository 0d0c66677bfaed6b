"""What a plan, a run and a page say of the corpus: its splits, and how often it is read."""

import json

import pytest

from ablab.data.store import prepare
from ablab.errors import UserError
from ablab.execute.session import Request, planned
from ablab.plan.corpus import CorpusSizes, CorpusUse, corpora_of, uses_of
from ablab.report.corpus import corpus_lines
from tests.data.texts import prose

STUDY = """
arms: {{plain: gpt2, other: {other}}}
design: {{kind: compare, baseline: plain}}
model: {{layers: 1, width: 16, heads: 2, context: 16}}
data: {{source: text, files: ["{corpus}/*.txt"], tokenizer: {tokenizer}}}
budget: {budget}
seeds: 1
recipe: {{batch_tokens: 64}}
"""


@pytest.fixture
def plan(tmp_path):
    """Plan a study on a file of 40 kB."""

    def write(tokenizer="{kind: byte}", other="gpt2 + rope", budget="{tokens: 99840}"):
        (tmp_path / "corpus").mkdir(exist_ok=True)
        (tmp_path / "corpus" / "a.txt").write_text(prose(40_000))
        text = STUDY.format(
            corpus=tmp_path / "corpus", tokenizer=tokenizer, other=other, budget=budget
        )
        (tmp_path / "x.yaml").write_text(text)
        return planned(Request(tmp_path / "x.yaml", None, (), ()), tmp_path / "home")

    return write


def test_the_number_of_epochs():
    sizes = CorpusSizes(8_576, 27_000, 1_000, 2_000)
    assert corpus_lines([CorpusUse("a", 99_840, sizes), CorpusUse("b", 99_840, sizes)]) == [
        "corpus: train 27kB (90 %), val 1kB (3.33 %), test 2kB (6.67 %); a run trains on 99.8k "
        "tokens of a split of 8.58k: 11.6 epochs"
    ]


def test_corpora_and_budgets_that_differ():
    byte = CorpusSizes(10_000, 8_000, 1_000, 1_000)
    piece = CorpusSizes(5_000, 8_000, 1_000, 1_000)
    uses = [CorpusUse("a", 5_000, byte), CorpusUse("b", 20_000, byte), CorpusUse("c", None, piece)]
    shares = "train 8kB (80 %), val 1kB (10 %), test 1kB (10 %)"
    assert corpus_lines(uses) == [
        f"corpus of a, b: {shares}; a run trains on 5k to 20k tokens of a split of 10k: 0.5 to 2 "
        "epochs",
        f"corpus of c: {shares}",
    ]
    assert corpus_lines([]) == []


@pytest.mark.parametrize(
    "tokenizer", ["{kind: byte}", "{kind: bpe, vocab: 300}", "{kind: sentencepiece, vocab: 300}"]
)
def test_a_small_corpus_is_measured_before_it_is_prepared(plan, tmp_path, tokenizer):
    study = plan(tokenizer)
    ((fingerprint, foreseen),) = corpora_of(study.plan, tmp_path / "none").items()
    store = prepare(study.plan.data[fingerprint], tmp_path / "tokens")
    assert corpora_of(study.plan, tmp_path / "tokens") == {fingerprint: foreseen}
    assert foreseen.train_tokens == len(store.tokens("train"))
    total = (tmp_path / "corpus" / "a.txt").stat().st_size
    assert foreseen.train_bytes + foreseen.val_bytes + foreseen.test_bytes == total
    uses = uses_of(study.plan, {fingerprint: foreseen})
    assert {(use.arm, use.tokens) for use in uses} == {("plain", 99_840), ("other", 99_840)}


def test_a_plan_refuses_a_vocabulary_that_a_small_corpus_does_not_yield(plan, tmp_path):
    with pytest.raises(UserError, match="bpe cannot train a vocabulary of 60000: this corpus"):
        corpora_of(plan("{kind: bpe, vocab: 60000}").plan, tmp_path)


def test_a_large_corpus_is_not_measured(plan, tmp_path):
    study = plan()
    (tmp_path / "corpus" / "b.txt").write_text("x" * 1_000_001)
    assert corpora_of(study.plan, tmp_path) == {}


def test_arms_with_other_tokenizers(plan, tmp_path):
    study = plan("{kind: byte}", "gpt2 + sentencepiece(vocab=320)", "{flops: 2.0e+8}")
    lines = corpus_lines(uses_of(study.plan, corpora_of(study.plan, tmp_path)))
    assert [line.partition(":")[0] for line in lines] == ["corpus of plain", "corpus of other"]


@pytest.mark.system
def test_plan_run_and_page_say_the_same(ablab, plan, tmp_path):
    plan(budget="{tokens: 640}")
    line = "a run trains on 640 tokens of a split of 31"
    told = ablab("plan", tmp_path / "x.yaml", "--home", "home").stdout
    (corpus,) = [text for text in told.splitlines() if text.startswith("corpus: ")]
    content = json.loads(ablab("plan", tmp_path / "x.yaml", "--home", "home", "--json").stdout)
    assert not (tmp_path / "home").exists()
    assert len(content["corpora"]) == 1
    done = ablab("run", tmp_path / "x.yaml", "--home", "home", "--workers", "1")
    assert done.returncode == 0, done.stderr
    (page,) = (tmp_path / "home" / "reports" / "x").glob("*.html")
    for text in (told, done.stdout, page.read_text()):
        assert line in " ".join(text.split())
        assert corpus[:40] in text
