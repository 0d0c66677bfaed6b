"""Options: what a plugin's typed fields take and refuse."""

import json
from math import inf, nan
from typing import Annotated, Literal

import pytest
from pydantic import Field

from ablab.arch.composition.declare import plugin
from ablab.arch.composition.expression import resolve
from ablab.arch.composition.registry import Registry, load_registry
from ablab.errors import UserError

BUILT_IN = load_registry()


@plugin(source="a test")
class Many:
    """An option of every kind."""

    real: Annotated[float, Field(gt=0)] = 1.0
    whole: Annotated[int, Field(ge=1)] = 1
    flag: bool = False
    word: Literal["a", "b"] = "a"
    free: str = ""
    maybe: Annotated[float, Field(ge=0)] | None = None
    either: int | str = 1
    pair: tuple[int, float] = (1, 2.0)
    several: tuple[str, ...] = ()

    def edit(self):
        return {"bias": self.flag}


@pytest.fixture
def many(monkeypatch):
    registry = Registry()
    module = type(pytest)("many")
    module.Many = Many
    monkeypatch.setattr(Many, "__module__", "many")
    registry.add_module(module)
    return registry.plugin("many")


@pytest.mark.parametrize(
    ("option", "given", "value"),
    [
        ("real", 3, 3.0),
        ("real", 5e5, 500000.0),
        ("whole", 3, 3),
        ("flag", True, True),
        ("word", "b", "b"),
        ("free", "5", "5"),
        ("maybe", None, None),
        ("maybe", 0, 0.0),
        ("either", "x", "x"),
        ("either", 5, 5),
        ("pair", (3, 4), (3, 4.0)),
        ("pair", [3, 4.5], (3, 4.5)),
        ("several", ["x", "y"], ("x", "y")),
        ("several", (), ()),
    ],
)
def test_what_is_taken(many, option, given, value):
    taken = getattr(many.configure({option: given}), option)
    assert taken == value
    assert type(taken) is type(value)


@pytest.mark.parametrize(
    ("option", "given"),
    [
        *(
            ("real", bad)
            for bad in (inf, -inf, nan, True, "4", None, 0, -1.0, [1], 1j, {1}, 10**400)
        ),
        *(("whole", bad) for bad in (inf, nan, True, "4", 4.5, None, 0)),
        *(("flag", bad) for bad in (1, 0, "true", 1.0)),
        *(("word", bad) for bad in ("c", 1, None)),
        *(("free", bad) for bad in (5, True, None)),
        *(("maybe", bad) for bad in (inf, nan, True, "4", -1)),
        *(("either", bad) for bad in (True, 1.5)),
        *(("pair", bad) for bad in ((1,), (1.5, 2), (True, 2), (1, inf), "12", 5)),
        *(("several", bad) for bad in ("xy", [1])),
    ],
)
def test_what_is_refused(many, option, given):
    with pytest.raises(UserError, match=rf"^many\({option}"):
        many.configure({option: given})


@pytest.mark.parametrize("name", sorted(BUILT_IN.plugins))
def test_every_plugin_takes_what_it_has_by_default(name):
    """From Python, and as a run's record and an expression hold them."""
    known = BUILT_IN.plugin(name)
    plain = known.configure({})
    assert known.configure(known.options) == plain
    assert known.configure(json.loads(json.dumps(known.options))) == plain
    if known.options:
        written = ", ".join(f"{option}={value}" for option, value in known.options.items())
        assert resolve(f"gpt2 + {name}({written})", BUILT_IN).uses[name].instance == plain


@pytest.mark.parametrize(
    "terms",
    [
        "adafactor(beta1=None)",
        "adafactor(factored=true)",
        "adafactor(beta1=0)",
        "qk_norm(kind=layer)",
        "wsd(shape=sqrt)",
        "sparse_attention(layers=even, strided=True)",
        "sentencepiece(model=unigram)",
        "rope(base=500000)",
        "rope(base=5e5)",
        "swiglu(factor=4)",
    ],
)
def test_what_studies_write_configures(terms):
    assert resolve(f"gpt2 + {terms}", BUILT_IN)
