"""YAML that is odd, huge or hostile: it is read, or refused at once in a line with its place."""

import time
from itertools import pairwise

import pytest

from ablab.errors import UserError
from ablab.spec.yaml_document import read_document
from ablab.spec.yaml_parser import MAX_BYTES


@pytest.fixture
def read(tmp_path):
    def call(text):
        file = tmp_path / "x.yaml"
        file.write_bytes(text.encode("utf-8", "surrogatepass"))
        document = read_document(file, None, [])
        places = {
            ".".join(path): place.removeprefix(f"{file}:")
            for path, place in document.places.items()
        }
        return document.values, places

    return call


def test_merge_keys_with_the_places_of_what_they_merge(read):
    values, places = read("a: &x {p: 1, q: 2}\nb: {<<: *x, q: 3}\nc: {<<: [*x, {r: 4}]}\n")
    assert values == {
        "a": {"p": 1, "q": 2},
        "b": {"p": 1, "q": 3},
        "c": {"p": 1, "q": 2, "r": 4},
    }
    assert list(values["b"]) == ["p", "q"]  # the order of arms
    assert (places["b"], places["b.p"], places["b.q"]) == ("2:1", "1:8", "2:13")
    assert (places["c.p"], places["c.r"]) == ("1:8", "3:15")


def test_what_yaml_means_by_its_words(read):
    text = "a: 1e-3\nb: 1_000\nc: 0x1F\nd: no\ne: '<<'\nf: &f [1, *g]\ng: 👩‍👩‍👧\n".replace(
        "[1, *g]", "[1]"
    )
    assert read(f"\ufeff{text}h: *f\n")[0] == {
        "a": 0.001,
        "b": 1000,
        "c": 31,
        "d": "no",
        "e": "<<",
        "f": [1],
        "g": "👩‍👩‍👧",
        "h": [1],
    }


LETTERS = "abcdefghi"
POWERS = list(pairwise(LETTERS))
ALIASES = "a: &a [1, 2, 3, 4, 5, 6, 7, 8, 9]\n" + "".join(
    f"{c}: &{c} [{', '.join([f'*{b}'] * 9)}]\n" for b, c in POWERS
)
MERGES = "a: &a {x: 1}\n" + "".join(
    f"{c}: &{c} {{<<: [{', '.join([f'*{b}'] * 9)}]}}\n" for b, c in POWERS
)
DEEP = "values are nested more than 20 deep"
CASES = {
    "aliases": (ALIASES, "1:14: e.0.2.0.5.2: more than 10,000 values, with aliases replaced"),
    "merges": (MERGES, "more than 10,000 values, with aliases replaced"),
    "an alias of itself": ("a: &a [*a]", DEEP),
    "a merge of itself": ("a: &a {<<: *a}", DEEP),
    "brackets": ("a: " + "[" * 1000 + "]" * 1000, f"1:23: {DEEP}"),
    "indents": ("".join(" " * i + "a:\n" for i in range(600)), f"20:20: {DEEP}"),
    "items": ("a: [" + "1," * 20_000 + "]", "1:20001: a.9998: more than 10,000 values"),
    "bytes": ("a: 1 # " + "x" * MAX_BYTES, "a study file has at most 256,000 bytes"),
    "digits": ("a: " + "9" * 5000, "1:4: a: 5,000 characters: at most 2,000 are read"),
    "a merged number": ("a: {<<: 3}", "1:9: a: `<<` takes a mapping, or a list of mappings"),
    "a list as a key": ("? [a, b]\n: 1", "1:3: a key is a word, not a list or a mapping"),
    "a date": ("a: 2001-99-99", "1:4: a: the tag !!timestamp is not supported in a study file"),
    "a word as a number": ("a: !!int x", "1:4: a: 'x' is no int"),
    "a word as a truth": ("a: !!bool x", "1:4: a: 'x' is no bool"),
    "an escape sequence": ('a: "\\e[31m"', "1:4: a: control character U+001B (character 1)"),
    "a carriage return": ('a: "\\r"', "1:4: a: control character U+000D (character 1)"),
    "text from the right": ("a: x\u202e", "1:4: a: control character U+202E (character 2)"),
    "half a character": ('a: "\\ud800"', "1:4: a: control character U+D800 (character 1)"),
    "a control character in a key": ('"a\\e": 1', "1:1: control character U+001B"),
    "a tag": ("a: !!python/name:os.system ''", "tag !!python/name:os.system is not supported"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_too_much_is_refused_with_its_place(read, case):
    text, message = CASES[case]
    begin = time.perf_counter()
    with pytest.raises(UserError) as error:
        read(text)
    assert message in str(error.value)
    assert len(str(error.value).splitlines()) == 1
    assert time.perf_counter() - begin < 5


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seeds=" + "[" * 1000, "command line: seeds: values are nested more than 20 deep"),
        ("question=" + "x" * MAX_BYTES * 2, "command line: question: a value has at most 256,000"),
        ("seeds=3\nmetric: val/loss", "command line: seeds: one value is expected"),
        (".".join("a" * 21) + "=1", "overrides are written `key=value` or `a.b=value`"),
        ('question="\\e[31m"', "command line: question: value: control character U+001B"),
    ],
)
def test_so_is_an_override(tmp_path, override, message):
    file = tmp_path / "x.yaml"
    file.write_text("from: gpt2")
    with pytest.raises(UserError) as error:
        read_document(file, None, [override])
    assert message in str(error.value)
    with pytest.raises(UserError, match="300 overrides: at most 200"):
        read_document(file, None, ["seeds=3"] * 300)
