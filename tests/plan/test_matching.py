"""Arms matched to the baseline by the width of their feed-forward, against counts by hand."""

import json
from dataclasses import asdict, replace

import pytest

from ablab.arch.composition.registry import load_registry
from ablab.arch.composition.resize import feed_forward_widths
from ablab.arch.counting.account import account
from ablab.data.store import prepare
from ablab.errors import UserError
from ablab.execute.attempt import attempt
from ablab.execute.worker_context import WorkerContext
from ablab.models.load import Sampling, continuation, trained_model
from ablab.plan.run_key import rebuild
from ablab.records.home import Home
from ablab.records.run_record import Record
from ablab.records.run_spec import RunSpec
from ablab.records.run_state import RunState
from ablab.schedule.factory import make_plan
from ablab.spec.study import load_study
from ablab.train.parallel import ParallelContext

# D: width, C: context, V: vocabulary, two layers
D, C, V, LAYERS = 64, 16, 300, 2
STUDY = """\
from: gpt2
to: {to}
design: {design}
model: {{layers: 2, width: 64, heads: 2, context: 16}}
data: {{source: text, files: ["{corpus}/*.txt"], tokenizer: {{kind: bpe, vocab: 300}}}}
budget: {budget}
seeds: 1
recipe: {{batch_tokens: 64, lr: 1.0e-2}}
validate_at: []
{more}
"""
PLUGINS = '''
from dataclasses import dataclass
from torch import nn
from ablab.plugin import Branch, ByLayer, Edit, PlainMlp, BuildContext, plugin


@plugin(source="a test")
class Tapered:
    """Every other feed-forward is half as wide as the next, and less than usual."""

    def edit(self) -> Edit:
        return {"mlp": ByLayer(PlainMlp(factor=1.0), PlainMlp(factor=2.0))}


@dataclass(frozen=True)
class OwnMlp(Branch):
    hidden: int

    def build(self, site: BuildContext) -> nn.Module:
        return PlainMlp(factor=self.hidden / site.dims.width).build(site)


@plugin(source="a test")
class Own:
    """A branch that says nothing of its width."""

    def edit(self) -> Edit:
        return {"mlp": OwnMlp(300)}


@dataclass(frozen=True)
class CoarseMlp(Branch):
    parts: int

    def build(self, site: BuildContext) -> nn.Module:
        return PlainMlp(factor=2.0 * self.parts).build(site)

    def hidden_width(self, width: int) -> int:
        return 2 * self.parts * width

    def resized(self, hidden: int, width: int) -> "CoarseMlp":
        return CoarseMlp(max(1, round(hidden / (2 * width))))


@plugin(source="a test")
class Coarse:
    """A feed-forward of so many parts, each twice as wide as the stream."""

    parts: int = 3

    def edit(self) -> Edit:
        return {"mlp": CoarseMlp(self.parts)}
'''


@pytest.fixture
def strangers(tmp_path):
    (tmp_path / "strangers").mkdir()
    (tmp_path / "strangers" / "strange.py").write_text(PLUGINS)
    return load_registry([tmp_path / "strangers"])


@pytest.fixture
def plan(tmp_path, registry, corpus):
    def call(to, match="params", *overrides, registry=registry, **changes):
        settings = {
            "design": "{kind: compare}",
            "budget": "{steps: 4}",
            "more": f"match: {match}" if match else "",
            **changes,
        }
        (tmp_path / "x.yaml").write_text(STUDY.format(corpus=corpus, to=to, **settings))
        study, document = load_study(tmp_path / "x.yaml", None, overrides)
        (part,) = make_plan("x", study, document, registry).parts
        return part.plan

    return call


def gpt2_parameters(hidden=4 * D):
    """Tables of tokens and positions; in each layer two norms, four projections, two of the
    feed-forward, all with biases; a norm at the end; a tied head.
    """
    layer = 2 * 2 * D + 4 * (D * D + D) + (D * hidden + hidden) + (hidden * D + D)
    return V * D + C * D + LAYERS * layer + 2 * D


def gated_parameters(hidden):
    """The same with three projections in the feed-forward."""
    plain, gated = 2 * D * 4 * D + 4 * D + D, 3 * D * hidden + 2 * hidden + D
    return gpt2_parameters() + LAYERS * (gated - plain)


def gpt2_flops(feed_forward):
    """Of training, per token: 2 FLOPs a weight forward and 4 backward, and the pairs (query, key ≤
    query), twice D each.
    """
    weights = LAYERS * (4 * D * D + feed_forward) + V * D
    pairs = C * (C + 1) / 2 / C
    return 6 * weights + LAYERS * 3 * 2 * 2 * D * pairs


def test_parameters_of_a_gated_feed_forward(plan):
    base, arm = plan("gpt2 + swiglu(factor=4)").arms
    assert (base.parameters, base.mismatch, base.feed_forward) == (gpt2_parameters(), 0.0, ())
    # 3·64·h + 2h + 64 = 2·64·256 + 256 + 64 at h = 170.2; a multiple of 8 misses by 0.7 %.
    assert arm.feed_forward == (170, 170)
    assert arm.parameters == gated_parameters(170)
    assert arm.mismatch == pytest.approx(gated_parameters(170) / gpt2_parameters() - 1)
    assert abs(arm.mismatch) < abs(gated_parameters(171) / gpt2_parameters() - 1)


def test_a_multiple_of_eight_is_taken_where_it_misses_by_little(plan):
    """770·h + 256 = 525,568 at h = 682.2 in a stream of 256; 680 misses by 0.2 %."""
    base, arm = plan("gpt2 + swiglu(factor=4)", "params", "model.width=256", "model.layers=1").arms
    assert arm.feed_forward == (680,)
    assert arm.parameters - base.parameters == 770 * 680 - (2 * 256 * 1024 + 1024)


def test_flops_of_a_gated_feed_forward(plan):
    base, arm = plan("gpt2 + swiglu(factor=4)", "flops_per_token").arms
    assert base.flops_per_token == gpt2_flops(2 * D * 4 * D)
    assert arm.feed_forward == (171, 171)  # 2/3 of 256 is 170.7
    assert arm.flops_per_token == gpt2_flops(3 * D * 171)
    assert arm.mismatch == pytest.approx(gpt2_flops(3 * D * 171) / gpt2_flops(2 * D * 4 * D) - 1)


@pytest.mark.parametrize("match", ["params", "flops_per_token"])
def test_every_arm_of_a_design_is_as_large_as_from(plan, match):
    made = plan("llama - untied_embeddings", match, design="{kind: leave_one_out}")
    figures = [arm.parameters if match == "params" else arm.flops_per_token for arm in made.arms]
    (base,) = (figure for arm, figure in zip(made.arms, figures, strict=True) if arm.name == "gpt2")
    assert len(figures) == 7
    for arm, figure in zip(made.arms, figures, strict=True):
        assert abs(figure / base - 1) <= 0.01, arm.name
        assert arm.mismatch == pytest.approx(figure / base - 1)


def test_the_baseline_of_compare_is_the_one_it_names(plan):
    text = {
        "design": "{kind: compare, baseline: b}",
        "more": "match: params\narms: {a: gpt2, b: gpt2 + swiglu(factor=4)}",
    }
    a, b = plan("null", "params", **text).arms
    assert (b.feed_forward, b.mismatch, b.parameters) == ((), 0.0, gated_parameters(256))
    assert a.mismatch == pytest.approx(a.parameters / gated_parameters(256) - 1)
    assert abs(a.mismatch) <= 0.01
    assert a.parameters == gpt2_parameters(a.feed_forward[0])


def test_an_arm_that_is_near_enough_stays_as_it_is_and_so_does_its_key(plan):
    """RoPE takes the table of positions away: 0.9 % of the parameters."""
    matched, plain = plan("gpt2 + rope"), plan("gpt2 + rope", None)
    assert matched.arms[1].feed_forward == ()
    assert matched.arms[1].mismatch == pytest.approx(-C * D / gpt2_parameters())
    assert [run.key for run in matched.runs] == [run.key for run in plain.runs]
    assert [arm.mismatch for arm in plain.arms] == [None, None]
    resized = plan("gpt2 + swiglu(factor=4)"), plan("gpt2 + swiglu(factor=4)", None)
    assert resized[0].runs[1].key != resized[1].runs[1].key


def test_layers_keep_their_proportions(plan, strangers, tmp_path):
    (_, arm) = plan("gpt2 + tapered", registry=strangers).arms
    assert arm.feed_forward in ((170, 341), (171, 342))  # 512 together would be exact
    assert arm.mismatch == pytest.approx(
        (sum(arm.feed_forward) - 512) * (2 * D + 1) / gpt2_parameters()
    )


def test_a_branch_that_says_nothing_of_its_width_is_refused(plan, strangers):
    with pytest.raises(UserError) as error:
        plan("gpt2 + own", registry=strangers)
    message = str(error.value)
    assert (
        "x.yaml:2:1: arm 'gpt2 + own': match: params: it cannot be brought within 1% of the "
        "baseline's 120,320"
    ) in message
    assert (
        "OwnMlp has no `hidden_width` and `resized` (+9.4%)" in message
    )  # 300 in place of 256: 44 · 129 · 2


def test_steps_that_are_too_coarse_are_refused_with_the_nearest(plan, strangers):
    """Parts of 128: two are GPT-2's feed-forward. At three quarters of the baseline's width none
    fits.
    """
    exact = plan("gpt2 + coarse", registry=strangers).arms[1]
    assert (exact.parameters, exact.mismatch) == (gpt2_parameters(), 0.0)
    text = {
        "design": "{kind: compare}",
        "more": "match: params\narms: {a: gpt2 + swiglu(factor=2), b: gpt2 + coarse}",
    }
    with pytest.raises(UserError) as error:
        plan("null", "params", registry=strangers, **text)
    nearest = min(
        (gpt2_parameters(128), gpt2_parameters(256)), key=lambda n: abs(n - gated_parameters(128))
    )
    assert (
        "b: match: params: it cannot be brought within 1% of the baseline's "
        f"{gated_parameters(128):,}"
    ) in str(error.value)
    assert f"with {nearest:,} ({nearest / gated_parameters(128) - 1:+.1%})" in str(error.value)


def test_too_small_a_baseline_is_refused_with_the_nearest(plan):
    with pytest.raises(UserError) as error:
        plan("llama", "params", "model.width=16")  # its own head is more than GPT-2's feed-forwards
    assert "nearest is a feed-forward 1 wide, with" in str(error.value)


def test_an_unknown_match_is_refused_with_the_nearest(plan):
    with pytest.raises(
        UserError,
        match=r"x\.yaml:10:1: match: no match named 'flops' \(did you mean 'flops_per_token'\?\)",
    ):
        plan("llama", "flops")


@pytest.mark.parametrize(
    "budget", ["{steps: 4}", "{tokens: 256}", "{flops: 1.0e+9}", "{seconds: 1}"]
)
@pytest.mark.parametrize("match", ["params", "flops_per_token"])
def test_runs_are_rebuilt_at_their_size_from_plain_values(plan, registry, match, budget):
    made = plan("gpt2 + swiglu(factor=4)", match, budget=budget)
    for arm, run in zip(made.arms, made.runs, strict=True):
        spec = RunSpec.read(json.loads(json.dumps(asdict(run))))
        arch = rebuild(spec, registry).arch
        assert account(arch).parameters.total == arm.parameters
        assert feed_forward_widths(arch) == (arm.feed_forward or (256, 256))
    with pytest.raises(UserError, match="changed since the study was planned"):
        rebuild(replace(made.runs[1], feed_forward=(200, 200)), registry)


@pytest.fixture
def trained(plan, registry, tmp_path):
    """A home with a finished run of a matched arm, and the arm."""
    made = plan("llama - untied_embeddings + mqa", budget="{steps: 4}")
    home = Home(tmp_path / "home", tmp_path / "home" / "mlflow")
    arm, spec = made.arms[1], made.runs[1]
    prepare(made.data[spec.data], home.tokens)
    Record(home.root, spec.key).create(spec)
    assert (
        attempt(spec, WorkerContext(home.root), registry, ParallelContext(), lambda: False).state
        == RunState.FINISHED
    )
    return home, arm, spec


def test_a_finished_run_of_a_matched_arm_is_generated_from_and_exported(
    trained, registry, tmp_path
):
    home, arm, spec = trained
    assert len(set(arm.feed_forward)) == 1
    assert arm.feed_forward[0] > 171  # one kv head leaves more to the feed-forward
    record = Record(home.root, spec.key)
    assert record.result is not None
    assert record.result.cost.parameters == arm.parameters
    _, model = trained_model(record, registry)
    assert sum(p.numel() for p in model.parameters()) == arm.parameters
    assert list(continuation(home, (spec.key, "the size"), Sampling(5, 0.0, 0), registry))
    pytest.importorskip("transformers")
    from ablab.models.export import export

    exported = export(home, spec.key, tmp_path / "out", registry)
    assert exported.model == "LlamaForCausalLM"
    assert (
        json.loads((tmp_path / "out" / "config.json").read_text())["intermediate_size"]
        == arm.feed_forward[0]
    )


def test_the_command_shows_what_is_left(plan, ablab, tmp_path):
    plan("gpt2 + swiglu(factor=4)")
    told = ablab("plan", tmp_path / "x.yaml")
    assert told.returncode == 0, told.stderr
    assert "mismatch" in told.stdout
    assert "-0.07%" in told.stdout
    (part,) = json.loads(ablab("plan", tmp_path / "x.yaml", "--json").stdout)["parts"]
    arms = part["arms"]
    assert arms[0]["mismatch"] == 0.0
    assert arms[1]["mismatch"] == pytest.approx(gated_parameters(170) / gpt2_parameters() - 1)
    assert arms[1]["feed_forward"] == [170, 170]
