"""Study files, model expressions and command lines, mutated into what nobody would write."""

import json
import re
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from ablab.arch.composition.registry import load_registry
from ablab.spec.study import Study

ROOT = Path(__file__).parents[2]
REGISTRY = load_registry()
SMALL = """\
from: gpt2
to: llama
model: {layers: 1, width: 16, heads: 2, context: 16}
data: {source: stdlib, tokenizer: {kind: byte}}
budget: {steps: 4}
recipe: {batch_tokens: 64}
"""
_TOKEN = re.compile(r"[\w.+-]+|\s+|\S")
_NUMBERS = [0, -1, 1, 2, 3, 7, 1.5, 1e-9, 257, 10**9, 44444444, 10**30, 1e300, -1e300, True]
_WORDS = [
    *map(str, _NUMBERS),
    *("1e999", ".inf", "-.inf", ".nan", "1e-3", "0x7f", "1_0", "9" * 300, "9" * 5000, "null", "~"),
    *("&a", "*a", "<<", "<<: *a", "!!int", "!!float x", "!!set", "!!python/name:os.system", "!x"),
    *("[", "]", "{", "}", "[" * 50, ":", "- ", "?", "|", ">", "#", "%", "%YAML 1.1\n---\n", "---"),
    *('"\\e[31m"', '"\\ud800"', '"\\0"', "\x07", "\u202e", "👩‍👩‍👧", "é", "\t", "..", "../x"),
    *("x" * 101, "x" * 3000, "2001-99-99", "off", "on", "''", "'", '"'),
    *("from", "to", "arms", "seeds", "kind", "compare", "factorial", "search", "tune", "budgets"),
    *("scales", "nuisance", "match", "params", "gpt2", "llama", "rope", "- rope", "+ mqa"),
]
words = st.one_of(st.sampled_from(_WORDS), st.text(max_size=8))
numbers = st.one_of(st.sampled_from(_NUMBERS), st.integers(-(10**20), 10**20), st.floats(width=64))
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, words),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(words, inner, max_size=4)),
    max_leaves=6,
)


def study_texts(corpus: str) -> list[str]:
    """Return the text of every study, on a corpus that is read at once."""
    texts = [SMALL, *(file.read_text() for file in sorted((ROOT / "studies").glob("*.yaml")))]
    return [text.replace("source: stdlib", f"source: text, files: ['{corpus}']") for text in texts]


def _mutate(text: str, position: int, kind: str, word: str) -> str:
    tokens = _TOKEN.findall(text) or [""]
    i = position % len(tokens)
    match kind:
        case "replace":
            tokens[i] = word
        case "insert":
            tokens.insert(i, word)
        case "delete":
            del tokens[i]
        case "repeat":
            tokens[i] *= 2
        case "swap":
            j = len(word) * 7 % len(tokens)
            tokens[i], tokens[j] = tokens[j], tokens[i]
        case "truncate":
            del tokens[i:]
    return "".join(tokens)


_KINDS = st.sampled_from(["replace", "replace", "insert", "delete", "repeat", "swap", "truncate"])


@st.composite
def mutated(draw: st.DrawFn, texts: list[str]) -> str:
    """Return one of `texts` with one to three of its tokens changed."""
    text = draw(st.sampled_from(texts))
    for _ in range(draw(st.integers(1, 3))):
        text = _mutate(text, draw(st.integers(0, 2000)), draw(_KINDS), draw(words))
    return text


def _paths(model: Any, prefix: str = "") -> list[str]:
    """Return the keys of a study file, as `a.b`."""
    paths = []
    for name, part in model.get("properties", {}).items():
        paths.append(f"{prefix}{name}")
        for reference in re.findall(r"#/\$defs/(\w+)", json.dumps(part)):
            if prefix.count(".") < 2:
                paths += _paths(SCHEMA["$defs"][reference], f"{prefix}{name}.")
    return paths


SCHEMA = Study.model_json_schema(by_alias=True)
PATHS = sorted(set(_paths(SCHEMA)))
EXPRESSIONS = [
    "gpt2:124M + rope(base=5e5, share=0.5) - scaled_init",
    "llama + sparse_attention(band=4, strided=true) + mqa",
    "gpt1",
    "palm - swiglu + geglu(factor=2.0)",
]


def _json(value: Any) -> str:
    """Return a value as YAML in one line."""
    return json.dumps(value, ensure_ascii=False).replace("NaN", ".nan").replace("Infinity", ".inf")


@st.composite
def overrides(draw: st.DrawFn) -> list[str]:
    """Return one to three settings of any key to any value."""
    keys = st.one_of(st.sampled_from(PATHS), words)
    texts = st.one_of(words, values.map(_json))
    return [f"{draw(keys)}={draw(texts)}" for _ in range(draw(st.integers(1, 3)))]


@st.composite
def options(draw: st.DrawFn) -> str:
    """Return an expression with a plugin, whose options have any value."""
    plugin = REGISTRY.plugins[draw(st.sampled_from(sorted(REGISTRY.plugins)))]
    names = draw(st.lists(st.sampled_from([*plugin.options, "x"]), max_size=2, unique=True))
    given = ", ".join(f"{name}={draw(st.one_of(numbers, words, values))}" for name in names)
    family = draw(st.sampled_from(sorted(REGISTRY.families)))
    sign = draw(st.sampled_from("++-"))
    return f"{family} {sign} {plugin.name}({given})"


@st.composite
def studies(draw: st.DrawFn, corpus: str) -> tuple[str, list[str], str | None]:
    """Return the text of a study file, the overrides and the profile."""
    texts = study_texts(corpus)
    kind = draw(st.sampled_from(["text", "text", "overrides", "expression", "options"]))
    profile = draw(st.sampled_from([*[None] * 10, *["smoke"] * 4, "cpu/small", "x" * 300]))
    if kind == "text":
        return draw(mutated(texts)), [], profile
    if kind == "overrides":
        return draw(st.sampled_from(texts)), draw(overrides()), profile
    expression = draw(mutated(EXPRESSIONS) if kind == "expression" else options())
    return texts[0], [f"to={_json(expression)}"], None
