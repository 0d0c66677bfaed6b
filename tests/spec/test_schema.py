"""Study files: what is read, how layers combine, and what is said of wrong ones."""

import json

import pytest

from ablab.errors import UserError
from ablab.spec.study import Study, load_study

GOOD = """\
question: q?
from: gpt2
to: llama
design: {kind: leave_one_out}
model: {layers: 4, width: 128, heads: 4, context: 128}
data: {source: stdlib, tokenizer: {kind: bpe, vocab: 2048}}
budget: {flops: 3.0e+12}
seeds: 3
recipe: {batch_tokens: 4096, lr: 1e-3, optimizer: adamw, warmup: 0.05, weight_decay: 0.1,\
 clip: 1.0, precision: auto}
metric: val/bpb
profiles: {smoke: {budget: {steps: 3}, seeds: [1, 2], recipe: {lr: 5e-4}},\
 other: {design: {kind: compare}}, bad: 3}
"""


@pytest.fixture
def load(tmp_path):
    def call(text=GOOD, profile=None, overrides=()) -> Study:
        file = tmp_path / "x.yaml"
        file.write_text(text)
        return load_study(file, profile, overrides)[0]

    return call


def test_a_whole_file(load):
    study = load()
    assert study.from_ == "gpt2"
    assert study.recipe.lr == 1e-3
    assert study.budget.amount == 3e12
    assert study.seed_list() == [1, 2, 3]


def test_a_profile_merges_mappings_and_replaces_budget_and_seeds(load):
    study = load(profile="smoke")
    assert (study.budget.kind, study.budget.amount) == ("steps", 3)
    assert study.seed_list() == [1, 2]
    assert (study.recipe.lr, study.recipe.batch_tokens) == (5e-4, 4096)


def test_the_command_line_comes_last(load):
    study = load(
        profile="smoke",
        overrides=[
            "budget.tokens=1e6",
            "recipe.lr=1e-4",
            "model.width=64",
            "question=null",
            "seeds=5",
        ],
    )
    assert study.budget.kind == "tokens"
    assert (study.recipe.lr, study.model.width, study.model.layers, study.question) == (
        1e-4,
        64,
        4,
        "",
    )
    assert study.seed_list() == [1, 2, 3, 4, 5]


def test_data_is_replaced_whole(load):
    assert load(overrides=["data.tokenizer.kind=byte"]).data.model_dump()["tokenizer"] == {
        "kind": "byte"
    }
    text = GOOD.replace("source: stdlib", "source: text, files: [a]")
    with pytest.raises(UserError, match=r"give data\.source as well"):
        load(text, overrides=["data.holdout=0.1"])
    assert (
        load(overrides=["data.holdout=0.1"]).data.tokenizer.vocab == 2048
    )  # the default again, not the file's by merging


def test_another_design_drops_the_first_ones_keys(load):
    text = GOOD.replace("{kind: leave_one_out}", "{kind: one_in, changes: [rope]}")
    assert load(text, overrides=["design.kind=compare"]).design.kind == "compare"
    assert load(text, profile="other").design.kind == "compare"
    assert load(text, overrides=["design.kind=path"]).design.model_dump() == {
        "kind": "path",
        "changes": None,
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("seeds: 3", "sedes: 3"), "x.yaml:8:1: sedes: no key named 'sedes' (did you mean 'seeds'"),
        (
            ("width: 128", "widht: 128"),
            "x.yaml:5:20: model.widht: no key named 'widht' (did you mean 'width'?)",
        ),
        (
            ("vocab: 2048", "vocab: x"),
            "x.yaml:6:47: data.tokenizer.vocab: Input should be a valid integer, not 'x'",
        ),
        (
            ("kind: bpe", "kind: bpr"),
            "x.yaml:6:24: data.tokenizer: no kind named 'bpr' (did you mean 'bpe'?)",
        ),
        (
            ("source: stdlib", "source: stdlb"),
            "data: no source named 'stdlb' (did you mean 'stdlib'?)",
        ),
        (
            ("leave_one_out", "leave_one"),
            "x.yaml:4:1: design: no kind named 'leave_one' (did you mean 'leave_one_out'?)",
        ),
        (
            ("{flops: 3.0e+12}", "{flops: 1, steps: 2}"),
            "x.yaml:7:1: budget: give exactly one of tokens, steps, flops",
        ),
        (
            ("{flops: 3.0e+12}", "{seconds: 60, tokens: 2}"),
            "x.yaml:7:1: budget: give exactly one of tokens, steps, flops, seconds",
        ),
        (
            ("{flops: 3.0e+12}", "{}"),
            "x.yaml:7:1: budget: give exactly one of tokens, steps, flops, seconds",
        ),
        (
            ("{flops: 3.0e+12}", "{seconds: 0}"),
            "x.yaml:7:10: budget.seconds: Input should be greater than 0, not 0",
        ),
        (
            ("{flops: 3.0e+12}", "{seconds: -2.5}"),
            "x.yaml:7:10: budget.seconds: Input should be greater than 0, not -2.5",
        ),
        (
            ("{flops: 3.0e+12}", "{second: 5}"),
            "x.yaml:7:10: budget.second: no key named 'second' (did you mean 'seconds'?)",
        ),
        (
            ("seeds: 3", "seeds: 3\nmatch: param"),
            "x.yaml:9:1: match: no match named 'param' (did you mean 'params'?)",
        ),
        (("seeds: 3", "seeds: 3\nmatch: [params]"), "x.yaml:9:1: match: no match named"),
        (
            ("{flops: 3.0e+12}", "{flips: 1}"),
            "x.yaml:7:10: budget.flips: no key named 'flips' (did you mean 'flops'?)",
        ),
        (
            ("{flops: 3.0e+12}", "{flops: .inf}"),
            "x.yaml:7:10: budget.flops: Input should be a finite number",
        ),
        (
            ("{flops: 3.0e+12}", "{flops: -1}"),
            "x.yaml:7:10: budget.flops: Input should be greater than 0, not -1",
        ),
        (
            ("seeds: 3", "seeds: [1, 1]"),
            "x.yaml:8:1: seeds: a number of seeds (at least 1), or a list",
        ),
        (("seeds: 3", "seeds: no"), "x.yaml:8:1: seeds:"),
        (("seeds: 3", "seeds: 0"), "x.yaml:8:1: seeds:"),
        (("to: llama\n", ""), "design leave_one_out needs `from` and `to`"),
        (("warmup: 0.05", "warmup: 2"), "recipe.warmup: Input should be less than 1, not 2"),
        (("lr: 1e-3", "lr: '1e-3'"), "recipe.lr: Input should be a valid number, not '1e-3'"),
        (("question: q?", "question: q?\nseeds: 4"), "not valid YAML: found duplicate key"),
        (("question: q?", "question: [1"), "not valid YAML"),
        (
            ("question: q?", "question: !!python/object/apply:os.system [ls]"),
            "is not supported in a study file",
        ),
        (("metric: val/bpb", "metric: val/bpp"), "x.yaml:10:1: metric"),
        (("profiles: {", "profiles: {a: 3, "), None),
    ],
)
def test_what_is_wrong_is_said_with_its_place(load, change, message):
    assert change[0] in GOOD
    if message is None:
        assert load(GOOD.replace(*change))
        return
    with pytest.raises(UserError) as error:
        load(GOOD.replace(*change))
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("profile", "overrides", "message"),
    [
        ("smok", (), "no profile named 'smok' (did you mean 'smoke'?)"),
        (
            None,
            ("recipe.lr=fast",),
            "command line: recipe.lr: Input should be a valid number, not 'fast'",
        ),
        (None, ("seeds=3", "seeds.x=1"), "seeds is also given a value"),
        ("bad", (), "profiles.bad: a mapping of settings is expected"),
        (None, ("lr",), "overrides are written `key=value`"),
        (
            None,
            ("recipe.lrr=1",),
            "command line: recipe.lrr: no key named 'lrr' (did you mean 'lr'?)",
        ),
        (None, ("seeds=[1",), "command line: seeds"),
    ],
)
def test_wrong_layers(load, profile, overrides, message):
    with pytest.raises(UserError) as error:
        load(profile=profile, overrides=overrides)
    assert message in str(error.value)


def test_files_that_are_not_studies(load, tmp_path):
    for text in ("- 1\n", "just words\n", ""):
        with pytest.raises(UserError, match="mapping of keys"):
            load(text)
    for raw, message in ((b"question: \xe9", "not UTF-8"), (b"question: \x01", "not valid YAML")):
        (tmp_path / "raw.yaml").write_bytes(raw)
        with pytest.raises(UserError, match=message):
            load_study(tmp_path / "raw.yaml", None, [])
    with pytest.raises(UserError, match="no such study file"):
        load_study(tmp_path / "none.yaml", None, [])


def test_a_revision_follows_the_content_alone(load):
    assert load().revision() == load(GOOD.replace("seeds: 3", "seeds:   3")).revision()
    assert load().revision() != load(GOOD.replace("seeds: 3", "seeds: 4")).revision()
    assert load().revision() == load(GOOD + "tracking: {uri: 'http://127.0.0.1:5000'}\n").revision()


def test_the_json_schema_is_plain_json():
    assert json.dumps(Study.model_json_schema(by_alias=True))


LADDER = GOOD.replace("budget: {flops: 3.0e+12}\n", "").replace(
    (
        "recipe: {batch_tokens: 4096, lr: 1e-3, optimizer: adamw, warmup: 0.05, weight_decay: "
        "0.1, clip: 1.0, precision: auto}"
    ),
    "recipe: {lr: 2.0e-3}",
)


def ladder(own, recipe="{lr: 2.0e-3}"):
    """A ladder under a recipe, whose second rung has one of its own."""
    rungs = "".join(
        f"  - {{budget: {{steps: {n}}}{more}}}\n" for n, more in ((4, ""), (8, own), (16, ""))
    )
    return LADDER.replace("recipe: {lr: 2.0e-3}", f"recipe: {recipe}") + f"scales:\n{rungs}"


def test_recipes_that_mean_other_things_are_other_revisions(load):
    """A default that is written out overrides the study's value, or the preset's."""
    studies = [
        load(ladder(own))
        for own in ("", ", recipe: {lr: 1.0e-3}", ", recipe: {lr: 2.0e-3}", ", recipe: {clip: 1.0}")
    ]
    assert len({study.revision() for study in studies}) == 4
    assert [s.content()["scales"]["rungs"][1]["recipe"] for s in studies[:2]] == [{}, {"lr": 0.001}]
    presets = [
        GOOD.partition("recipe:")[0] + f"recipe: {recipe}\n"
        for recipe in ("llama", "{preset: llama}", "{preset: llama, lr: 1e-3}")
    ]
    named, alone, given = map(load, presets)
    assert named.revision() == alone.revision() != given.revision()
    assert alone.content()["recipe"] == {"preset": "llama"}
    assert given.content()["recipe"] == {"preset": "llama", "lr": 0.001}
    under = [
        load(ladder(", recipe: {preset: llama}", recipe))
        for recipe in ("{lr: 1.0e-3}", "{clip: 1.0}")
    ]
    assert under[0].revision() != under[1].revision()


def test_a_plain_recipe_is_the_revision_that_it_was(load):
    """Defaults may be written out or not; the digest changes only if a default does."""
    text = GOOD.replace("lr: 1e-3, ", "")
    assert text != GOOD
    assert load(text).revision() == load().revision() == "a9b4eead0504"
    assert load(text).content()["recipe"]["lr"] == 0.001


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (
            "scales: 3",
            "x.yaml:11:1: scales: a list of rungs is expected, or {rungs: [...], lr: ...}, not 3",
        ),
        (
            "scales: abc",
            (
                "x.yaml:11:1: scales: a list of rungs is expected, or {rungs: [...], lr: ...}, "
                "not 'abc'"
            ),
        ),
        ("scales: {rungs: 3}", "x.yaml:11:10: scales.rungs: Input should be a valid list, not 3"),
        ("scales: {lr: constant}", "x.yaml:11:1: scales.rungs: Field required"),
        (
            "scales: [3]",
            (
                "x.yaml:11:10: scales.rungs.0: Input should be a valid dictionary or instance of "
                "Rung, not 3"
            ),
        ),
        ("budgets: 3", "x.yaml:11:1: budgets: Input should be a valid list, not 3"),
        ("budgets: abc", "x.yaml:11:1: budgets: Input should be a valid list, not 'abc'"),
        (
            "budgets: [3]",
            (
                "x.yaml:11:11: budgets.0: Input should be a valid dictionary or instance of "
                "BudgetConfig, not 3"
            ),
        ),
        (
            "budgets: [{}]",
            "x.yaml:11:11: budgets.0: give exactly one of tokens, steps, flops, seconds",
        ),
    ],
)
def test_wrong_parts_are_one_line(load, parts, message):
    with pytest.raises(UserError) as error:
        load(LADDER + parts)
    assert str(error.value).endswith(message)
    assert len(str(error.value).splitlines()) == 1


def test_a_study_without_a_budget_needs_one(load):
    with pytest.raises(UserError, match="budget: Field required"):
        load(LADDER)
