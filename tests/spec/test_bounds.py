"""Every number, text and list of a study file has a bound, which the JSON schema states."""

import time

import pytest

from ablab.errors import UserError
from ablab.execute.request import Request, planned
from ablab.spec.study import Study, load_study

GOOD = "from: gpt2\nto: llama\nbudget: {steps: 4}\n"


def unbounded(schema, path="study"):
    """Yield the places of a JSON schema whose values have no bound."""
    bound = {
        "integer": ("maximum",),
        "number": ("maximum", "exclusiveMaximum"),
        "string": ("maxLength",),
        "array": ("maxItems",),
    }
    kind = schema.get("type")
    keys = bound.get(kind, ())
    if kind == "object" and "additionalProperties" in schema and "properties" not in schema:
        keys = ("maxProperties",)
    if keys and not {"enum", "const", *keys} & schema.keys():
        yield path
    for key in ("properties", "$defs"):
        for name, part in schema.get(key, {}).items():
            yield from unbounded(part, f"{path}.{name}")
    for key in ("anyOf", "oneOf", "allOf"):
        for part in schema.get(key, ()):
            yield from unbounded(part, path)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from unbounded(schema[key], f"{path}[]")


def test_the_schema_states_a_bound_of_everything():
    assert list(unbounded(Study.model_json_schema(by_alias=True))) == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("seeds: 1000000000", "x.yaml:4:1: seeds: at most 1,000 seeds"),
        (
            f"seeds: [{10**20}]",
            "x.yaml:4:1: seeds: at most 1,000 seeds, each at most 2,147,483,647",
        ),
        ("seeds: {start: 4, max: 1000000000}", "seeds.max: Input should be less than or equal to"),
        ("model: {layers: 44444444}", "model.layers: Input should be less than or equal to 128"),
        (
            "model: {context: 1000000000}",
            "model.context: Input should be less than or equal to 131",
        ),
        ("model: {context: 1e9}", "model.context: Input should be a valid integer"),
        ("validate_at: [" + "0.5," * 9000 + "]", "validate_at: List should have at most 64 items"),
        ("checkpoint_seconds: 1e400", "checkpoint_seconds: Input should be a finite number"),
        (f"retries: {'9' * 1000}", "retries: Input should be less than or equal to 1000, not 999"),
        ("hardware: {devices: 64, nodes: 64, strategy: tensor}", "4096 processes share one copy"),
        ("int: 3", "x.yaml:4:1: int: no key named 'int'"),
        ('"list[x]": 3', "x.yaml:4:1: list[x]: no key named 'list[x]'"),
        ("margin: 1e99", "a number above 0 in the metric's units (1e+09 at most)"),
        ('arms: {"a\\tb": gpt2}', "control character U+0009 (character 2) in a name"),
        (f"arms: {{{'a' * 101}: gpt2}}", "101 characters: at most 100 are read"),
    ],
)
def test_what_is_beyond_it_is_refused_with_its_place(tmp_path, line, message):
    file = tmp_path / "x.yaml"
    file.write_text(f"{GOOD}{line}\n")
    with pytest.raises(UserError) as error:
        load_study(file, None, [])
    assert message in str(error.value)
    assert len(str(error.value)) < 1000
    assert all(line.startswith(f"{file}:4:") for line in str(error.value).splitlines())


ARMS = ", ".join(f"a{i}: gpt2 + rope(base={i + 2})" for i in range(256))
PLANS = {
    "25,600 runs and trials of 256 arms": f"arms: {{{ARMS}}}\nseeds: 100",
    "1,280 arms in all parts": f"arms: {{{ARMS}}}\nbudget: null\nbudgets: [{{steps: 1}}, "
    "{steps: 2}, {steps: 3}, {steps: 4}, {steps: 5}]",
    "its options have 4,096 combinations": "design: {kind: factorial, factors: {rope: {base: "
    f"{list(range(2, 66))}, share: {[0.5] * 64}}}}}}}\nto: null",
    "its batch ramp takes more than 200,000 steps": "budget: {steps: 1e9}\n"
    "recipe: {batch_tokens: 64, plugins: batch_ramp}",
    "this model has 1.6e+16 parameters": "to: gpt2 + padded_vocab(multiple=1000000000000000)",
    "padded_vocab(multiple=…): 1e+15 is the largest number": "to: gpt2 + padded_vocab(multiple="
    f"{10**16})",
    "at most 256 items or characters, not 300": f"to: gpt2 + rope(base='{'x' * 300}')",
}


@pytest.mark.parametrize("message", PLANS)
def test_what_would_be_planned_has_a_bound(tmp_path, corpus, message):
    file = tmp_path / "x.yaml"
    lines = {
        "from": "gpt2",
        "to": "llama",
        "model": "{layers: 1, width: 16, heads: 2, context: 16}",
        "data": f"{{source: text, files: ['{corpus}/*.txt'], tokenizer: {{kind: byte}}}}",
        "budget": "{steps: 4}",
        "recipe": "{batch_tokens: 64}",
    }
    lines |= dict(line.split(": ", 1) for line in PLANS[message].splitlines())
    file.write_text("".join(f"{key}: {value}\n" for key, value in lines.items()))
    begin = time.process_time()
    with pytest.raises(UserError) as error:
        planned(Request(file, None, (), ()), tmp_path / "home")
    assert message in str(error.value)
    assert str(error.value).startswith(f"{file}:")
    assert len(str(error.value).splitlines()) == 1
    assert time.process_time() - begin < 5
