"""What a study's recipe may name: presets, an optimizer, a schedule, and terms for every arm."""

import json

import pytest

from ablab.arch.composition.canonical import canonical
from ablab.arch.composition.expression import resolve
from ablab.arch.composition.registry import load_registry
from ablab.arch.recipe import AdamW, Cosine, Recipe
from ablab.errors import UserError
from ablab.plan.recipe import study_recipe
from ablab.plan.run_key import rebuild, recipe_value
from ablab.schedule.factory import make_plan
from ablab.spec.study import RecipeConfig, Study, load_study
from ablab.spec.yaml_document import Document

COMPARE = """\
arms: {{a: gpt2, b: gpt2 + rope}}
model: {{layers: 1, width: 16, heads: 2, context: 16}}
data: {{source: text, files: ["{corpus}/*.txt"], tokenizer: {{kind: bpe, vocab: 300}}}}
budget: {{steps: 40}}
seeds: 1
recipe: {{batch_tokens: 64}}
profiles: {{short: {{recipe: llama}}, long: {{recipe: {{lr: 2e-3, optimizer: muon}}}}}}
"""


@pytest.fixture
def load(tmp_path, corpus):
    def call(*changes, profile=None, overrides=()):
        text = COMPARE.format(corpus=corpus)
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "x.yaml").write_text(text)
        return load_study(tmp_path / "x.yaml", profile, overrides)

    return call


@pytest.fixture
def plan(load, registry):
    def call(*changes, registry=registry, **layers):
        study, document = load(*changes, **layers)
        (part,) = make_plan("x", study, document, registry).parts
        return part.plan

    return call


def recipes(plan, registry):
    return {spec.arm: rebuild(spec, registry).recipe for spec in plan.runs}


def keys(plan):
    return {spec.arm: spec.key for spec in plan.runs}


RECIPE = "{batch_tokens: 64}"


def given(text):
    return (RECIPE, "{batch_tokens: 64, " + text + "}")


def test_without_names_the_core_needs_no_plugin(registry, monkeypatch):
    monkeypatch.setattr("ablab.arch.composition.registry.entry_points", lambda group: [])
    empty = load_registry()
    config = RecipeConfig()
    assert study_recipe(config, empty, Document({})).uses == {}
    value = recipe_value(config)
    assert (value.optimizer, value.schedule) == (AdamW(), Cosine())
    assert canonical(value) == canonical(Recipe(precision=value.precision))
    for key in ("optimizer", "schedule"):
        with pytest.raises(
            UserError, match=f"recipe.{key}: no {key} named 'adamw' \\(known: none\\)"
        ):
            study_recipe(RecipeConfig(**{key: "adamw"}), empty, Document({}))


def test_an_optimizer_and_a_schedule_are_named_with_options(plan, registry):
    made = plan(given("optimizer: 'muon(momentum=0.9)', schedule: wsd"))
    for recipe in recipes(made, registry).values():
        assert recipe.optimizer.momentum == 0.9
        assert recipe.schedule.decay == 0.2
    assert [arm.plugins for arm in made.arms] == [
        ("muon(momentum=0.9)", "pre_norm", "scaled_init", "wsd"),
        ("muon(momentum=0.9)", "pre_norm", "rope", "scaled_init", "wsd"),
    ]
    assert "momentum=0.9" in made.arms[0].recipe["optimizer"]


def test_terms_for_every_arm_and_an_arms_own_in_their_place(plan, registry):
    arms = (
        "{a: gpt2, b: gpt2 + rope}",
        "{a: gpt2, b: 'gpt2 + z_loss(coefficient=0.01)', c: gpt2 + adam + fp32}",
    )
    made = plan(arms, given("optimizer: muon, plugins: z_loss + activation_checkpointing + bf16"))
    found = recipes(made, registry)
    assert [dict(r.loss.entries)["z"].coefficient for r in found.values()] == [1e-4, 0.01, 1e-4]
    assert [type(r.optimizer).__name__ for r in found.values()] == [
        "MuonAdamW",
        "MuonAdamW",
        "L2Adam",
    ]
    assert [r.precision for r in found.values()] == ["bf16", "bf16", "fp32"]
    assert all(r.checkpointing for r in found.values())


def test_a_recipe_plugin_can_be_what_a_study_asks_about(plan, registry):
    arms = (
        "arms: {a: gpt2, b: gpt2 + rope}",
        "from: gpt2\nto: gpt2 + muon + rope\ndesign: {kind: factorial}",
    )
    made = plan(arms, given("optimizer: adam"))
    found = {
        name: type(recipe.optimizer).__name__ for name, recipe in recipes(made, registry).items()
    }
    assert set(found.values()) == {"L2Adam", "MuonAdamW"}
    assert found["gpt2"] == "L2Adam"


def test_keys_follow_what_is_in_force(plan):
    base = keys(plan())
    seen = [base]
    for text in (
        "optimizer: adamw",
        "optimizer: adamw(beta2=0.9)",
        "optimizer: adam",
        "schedule: linear",
        "schedule: linear(floor=0.1)",
        "plugins: z_loss",
        "plugins: z_loss(coefficient=0.1)",
        "plugins: activation_checkpointing",
        "plugins: batch_ramp",
        "plugins: 'batch_ramp(start=0.5, share=0.5)'",
    ):
        seen.append(keys(plan(given(text))))
    assert len({key for found in seen for key in found.values()}) == 2 * len(seen)
    # Where a term is written does not count.
    everywhere = ("{a: gpt2, b: gpt2 + rope}", "{a: gpt2 + z_loss, b: gpt2 + rope + z_loss}")
    assert keys(plan(everywhere)) == keys(plan(given("plugins: z_loss")))


def test_a_recipe_plugins_source_is_in_the_key(plan, tmp_path):
    found = []
    for name, extra in {"a": "", "b": "X = 1\n"}.items():
        folder = tmp_path / name
        folder.mkdir()
        text = "from ablab.plugin import AdamW, plugin\n\n" + extra
        text += "@plugin(source='a test')\nclass Mine:\n    '''Mine.'''\n    def edit(self):\n"
        (folder / f"mine_{name}.py").write_text(
            text + "        return {'recipe.optimizer': AdamW(eps=1e-6)}\n"
        )
        found.append(keys(plan(given("optimizer: mine"), registry=load_registry([folder]))))
    assert found[0]["a"] != found[1]["a"]


def test_a_ramp_makes_more_steps_of_the_same_tokens(plan, registry):
    text = "plugins: 'batch_ramp(start=0.25, share=0.5)'"
    tokens = ("{steps: 40}", "{tokens: 2560}")
    plain, made = plan(tokens), plan(tokens, given(text))
    assert [arm.steps for arm in plain.arms] == [40, 40]
    assert all(arm.steps > 40 and abs(arm.tokens - 2560) < 64 for arm in made.arms)
    assert all(
        spec.batches == made.arms[0].batches and spec.batches.runs[0][0] == 1 for spec in made.runs
    )
    by_steps = plan(given(text))
    assert all(arm.steps == 40 and arm.tokens < 2560 for arm in by_steps.arms)
    assert keys(by_steps) != keys(made)


PRESET = {"lr": 3e-4, "warmup": 0.01, "weight_decay": 0.1, "clip": 1.0}


def test_a_preset_is_what_a_study_asks_for(load, registry):
    def settled(*changes, **layers):
        study, document = load(*changes, **layers)
        return study_recipe(study.recipe, registry, document)

    for change in ((RECIPE, "llama"), (RECIPE, "{preset: llama}")):
        recipe = settled(change)
        assert recipe.config.model_dump(include=set(PRESET)) == PRESET
        assert recipe.config.batch_tokens == 2048 * 2048
        assert sorted(recipe.uses) == ["activation_checkpointing", "adamw", "cosine"]
    own = settled(
        (RECIPE, "{preset: llama, lr: 1e-3, batch_tokens: 512, optimizer: adam, plugins: ''}")
    )
    assert (own.config.lr, own.config.batch_tokens, own.config.weight_decay) == (1e-3, 512, 0.1)
    assert sorted(own.uses) == ["adam", "cosine"]


@pytest.mark.parametrize(
    ("first", "layers", "expected"),
    [
        ("llama", {"overrides": ["recipe.lr=1e-3"]}, ("llama", 1e-3, 4096)),
        ("llama", {"profile": "long"}, ("llama", 2e-3, 4096)),
        (RECIPE, {"profile": "short"}, ("llama", 1e-3, 64)),
        (RECIPE, {"overrides": ["recipe=llama"]}, ("llama", 1e-3, 64)),
        ("gpt2", {"profile": "short", "overrides": ["recipe=gpt1"]}, ("gpt1", 1e-3, 4096)),
        (RECIPE, {"overrides": ["recipe=llama", "recipe.lr=5e-3"]}, ("llama", 5e-3, 64)),
        (RECIPE, {"overrides": ["recipe.lr=5e-3", "recipe=llama"]}, ("llama", 5e-3, 64)),
        ("llama", {"overrides": ["recipe.preset=null"]}, (None, 1e-3, 4096)),
        ("llama", {"overrides": ["recipe=null"]}, (None, 1e-3, 4096)),
    ],
)
def test_a_preset_merges_with_other_layers(load, first, layers, expected):
    recipe = load((RECIPE, first), **layers)[0].recipe
    assert (recipe.preset, recipe.lr, recipe.batch_tokens) == expected


def test_every_preset_resolves(registry):
    assert {"gpt1", "gpt2", "llama", "small"} <= set(registry.recipes)
    for name in registry.recipes:
        recipe = study_recipe(RecipeConfig(preset=name), registry, Document({}))
        assert recipe.config.warmup < 0.1 or name == "small"
        written = {path for use in recipe.uses.values() for path in use.claim().edit}
        assert {"recipe.optimizer", "recipe.schedule"} <= written


def test_small_studies_have_a_recipe_of_their_own(load, plan, registry):
    study, document = load((RECIPE, "{preset: small, lr: 1e-3}"))
    recipe = study_recipe(study.recipe, registry, document)
    options = ("lr", "batch_tokens", "warmup", "weight_decay", "clip")
    assert [getattr(recipe.config, name) for name in options] == [1e-3, 256, 0.3, 0.1, 1.0]
    assert sorted(recipe.uses) == ["adamw", "linear", "width_init"]
    spelled = (
        "{lr: 4e-3, batch_tokens: 256, schedule: linear, optimizer: adamw, warmup: 0.3, "
        "plugins: width_init}"
    )
    assert keys(plan((RECIPE, "small"))) == keys(plan((RECIPE, spelled)))


def test_an_arm_with_an_init_of_its_own_keeps_it(registry):
    recipe = study_recipe(RecipeConfig(preset="small"), registry, Document({}))
    palm, gpt2 = (set(recipe.under(resolve(name, registry)).uses) for name in ("palm", "gpt2"))
    assert palm & {"fan_in_init", "width_init"} == {"fan_in_init"}
    assert gpt2 & {"fan_in_init", "width_init"} == {"width_init"}


def test_a_folder_may_define_a_recipe(plan, tmp_path):
    text = "from ablab.plugin import NamedRecipe, RecipePreset\n"
    text += "MINE = NamedRecipe('mine', 'Mine.', 'a test', RecipePreset(lr=0.25))\n"
    (tmp_path / "mine.py").write_text(text)
    registry = load_registry([tmp_path])
    made = plan((RECIPE, "mine"), registry=registry)
    assert {spec.recipe["lr"] for spec in made.runs} == {0.25}
    (tmp_path / "other.py").write_text(text.replace("'mine'", "'llama'"))
    with pytest.raises(UserError, match=r"plugins, families or recipes are named 'llama'"):
        load_registry([tmp_path])


def test_a_preset_is_equal_to_itself_written_out(plan):
    preset = given("preset: gpt1")
    spelled = given(
        "lr: 2.5e-4, optimizer: adamw(beta2=0.999), schedule: cosine(floor=0), warmup: 0.01, "
        "weight_decay: 0.01, "
        "plugins: dropout(p=0.1)"
    )
    assert keys(plan(preset)) == keys(plan(spelled))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "optimizer: rope",
            (
                "x.yaml:6:28: recipe.optimizer: 'rope' is no optimizer: it writes "
                "`mixer.rotate`, `position` (known"
            ),
        ),
        ("optimizer: cosine", "'cosine' is no optimizer: it writes `recipe.schedule`"),
        (
            "optimizer: adamv",
            (
                "x.yaml:6:28: recipe.optimizer: no optimizer named 'adamv' (did you mean 'adam' "
                "or 'adamw'?)"
            ),
        ),
        (
            "schedule: cosin",
            "x.yaml:6:28: recipe.schedule: no schedule named 'cosin' (did you mean 'cosine'?)",
        ),
        (
            "optimizer: muon(momentun=0.9)",
            "recipe.optimizer: no option of muon named 'momentun' (did you mean 'momentum'?)",
        ),
        (
            "optimizer: muon(momentum=2)",
            "recipe.optimizer: muon(momentum=2): Input should be less than 1",
        ),
        (
            "optimizer: adam + muon",
            (
                "recipe.optimizer: one optimizer is expected, `name` or `name(option=value)`, "
                "not 'adam"
            ),
        ),
        ("optimizer: '- adam'", "one optimizer is expected"),
        ("optimizer: ''", "one optimizer is expected"),
        ("optimizer: 3", "x.yaml:6:28: recipe.optimizer: Input should be a valid string, not 3"),
        (
            "plugins: z_los",
            "x.yaml:6:28: recipe.plugins: no plugin named 'z_los' (did you mean 'z_loss'?)",
        ),
        ("plugins: '- rope'", "recipe.plugins: '- rope': these are given to every arm"),
        ("plugins: z_loss + z_loss", "recipe.plugins: 'z_loss' is named twice in the recipe"),
        (
            "plugins: bf16 + fp32",
            "recipe.plugins: 'fp32' and 'bf16' both write `recipe.precision`: name one of them",
        ),
        (
            "optimizer: muon, plugins: adam",
            "x.yaml:6:45: recipe.plugins: 'adam' and 'muon' both write `recipe.optimizer`",
        ),
        (
            "preset: lama",
            "x.yaml:6:28: recipe.preset: no recipe preset named 'lama' (did you mean 'llama'",
        ),
        ("presett: llama", "recipe.presett: no key named 'presett' (did you mean 'preset' or"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(plan, text, message):
    with pytest.raises(UserError) as error:
        plan(given(text))
    assert message in str(error.value)


def test_a_wrong_preset_as_a_plain_string_has_its_place(plan):
    with pytest.raises(
        UserError, match=r"x\.yaml:6:1: recipe\.preset: no recipe preset named 'rope'"
    ):
        plan((RECIPE, "rope"))
    with pytest.raises(
        UserError, match=r"command line: recipe\.preset: no recipe preset named 'lama'"
    ):
        plan(overrides=["recipe=lama"])


def test_a_preset_that_states_nonsense_is_the_familys_fault(plan, tmp_path):
    text = "from ablab.plugin import Family, RecipePreset\n"
    text += "ODD = Family('odd', 'Odd.', 'a test', '', recipe=RecipePreset(lr=-1.0))\n"
    (tmp_path / "odd_family.py").write_text(text)
    with pytest.raises(
        UserError, match=r"the recipe of 'odd' states lr -1\.0: Input should be greater than 0"
    ):
        plan(given("preset: odd"), registry=load_registry([tmp_path]))


def test_the_json_schema_takes_a_name_for_a_recipe():
    recipe = json.dumps(Study.model_json_schema(by_alias=True)["properties"]["recipe"])
    assert '"type": "string"' in recipe
