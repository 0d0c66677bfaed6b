"""Model expressions: what they mean, and what is said of wrong ones."""

import pytest

from ablab.arch.composition.expression import resolve
from ablab.arch.composition.model import architecture, sized
from ablab.arch.composition.registry import Registry
from ablab.arch.value import Dims
from ablab.errors import UserError


def names(text, registry):
    return [str(use) for use in resolve(text, registry).uses.values()]


def test_families_and_terms(registry):
    assert names("gpt1", registry) == []
    assert names("gpt2", registry) == ["pre_norm", "scaled_init"]
    assert names("gpt2+rope-scaled_init", registry) == ["pre_norm", "rope"]
    assert (
        names("gpt2:355M  +  swiglu(multiple=64, factor=4)", registry)[2]
        == "swiglu(factor=4.0, multiple=64)"
    )
    assert names("llama + rope(base=5e5)", registry)[3] == "rope(base=500000.0)"
    assert resolve("gpt2:355M", registry).dims.width == 1024


def test_default_options_are_not_shown(registry):
    assert names("gpt2 + rope(base=10000)", registry)[1] == "rope"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gpt2 + rop", "no plugin named 'rop' (did you mean 'rope'"),
        ("gpt9", "no family named 'gpt9' (did you mean"),
        ("gpt2:1B", "did you mean '1.5B'"),
        ("gpt2 + rope + rope", "column 15: 'rope' is named twice"),
        ("llama + rope", "column 9: 'llama + rope' adds 'rope', which it already contains"),
        ("gpt2 - rope", "removes 'rope', which it does not contain"),
        ("gpt2 + rope - rope", "named twice"),
        ("gpt2 + rope(bas=3)", "no option of rope named 'bas' (did you mean 'base'?)"),
        ("gpt2 + rope(base=0)", "rope(base=0): Input should be greater than 1"),
        ("gpt2 + rope(base=fast)", "rope(base='fast')"),
        ("gpt2 + rope(base=1", "not closed"),
        ("gpt2 + rope(3)", "`name=value`"),
        ("gpt2 + rope(base=9, base=9)", "given twice"),
        ("gpt2 rope", "column 6: expected + or -"),
        ("gpt2 +", "ends in '+'"),
        ("+ rope", "expected a name"),
        ("gpt2 + + rope", "column 8"),
        ("", "begins with a family"),
        ("gpt2 & rope", "column 6: unexpected '&'"),
        ("gpt2(a=1)", "a family takes no options"),
        ("gpt2 + rope:1", "a plugin has no size"),
    ],
)
def test_wrong_expressions(text, message, registry):
    with pytest.raises(UserError) as error:
        resolve(text, registry)
    assert message in str(error.value)


def test_sizes():
    assert sized(Dims(width=64, heads=4), {"heads": 8}).head_width == 8
    assert sized(Dims(width=64, heads=4, head_dim=32), {"layers": 2}).head_width == 32
    assert sized(Dims(width=64, heads=4, head_dim=32), {"width": 128}).head_width == 32
    with pytest.raises(UserError, match="not a multiple of heads"):
        sized(Dims(), {"heads": 7})
    with pytest.raises(UserError, match="no size named 'depth'"):
        sized(Dims(), {"depth": 7})
    with pytest.raises(UserError, match="at least 1"):
        sized(Dims(), {"layers": 0})


def test_sizes_that_a_slot_cannot_take_are_a_users_error(registry):
    from ablab.arch.counting.account import account

    with pytest.raises(UserError, match="must be even"):
        account(architecture("gpt2 + rope", registry, {"width": 15, "heads": 3}))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("(" * 900 + ")" * 900, "at most 256 items or characters"),
        ("-" * 250, "valid number"),
        ("{[]: 1}", "valid number"),
        ("1if", "valid number"),
        ("[" * 6 + "]" * 6, "values are nested more than 5 deep"),
        ("9" * 400, "1e+15 is the largest number"),
        ("x" * 2000, "an expression has at most 2,000 characters, not 2,"),
        ("1, " + ", ".join(f"b{i}=1" for i in range(150)), "no option of rope named 'b0'"),
    ],
)
def test_hostile_options_are_refused(registry, value, message):
    with pytest.raises(UserError) as error:
        resolve(f"gpt2 + rope(base={value})", registry)
    assert message in str(error.value)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["../x", "a b", "a\x1b[31m", "", "x" * 101, "1x"])
def test_a_plugin_is_named_by_a_word(name):
    registry = Registry()
    with pytest.raises(UserError, match="name"):
        registry._claim(name, "x.py")
