"""The design that makes changes to several models."""

import pytest

from ablab.errors import UserError

DESIGN = "design: {{kind: contexts, contexts: [gpt2, llama], changes: {changes}}}\n"


def test_each_context_with_and_without(laid):
    layout = laid(DESIGN.format(changes="[qk_norm, mqa]"))
    assert list(layout.arms) == [
        "gpt2",
        "gpt2 + qk_norm",
        "gpt2 + mqa",
        "llama",
        "llama + qk_norm",
        "llama + mqa",
    ]
    assert [(c.name, c.kind, dict(c.weights)) for c in layout.contrasts] == [
        ("qk_norm in gpt2", "change", {"gpt2 + qk_norm": 1.0, "gpt2": -1.0}),
        ("mqa in gpt2", "change", {"gpt2 + mqa": 1.0, "gpt2": -1.0}),
        ("qk_norm in llama", "change", {"llama + qk_norm": 1.0, "llama": -1.0}),
        ("mqa in llama", "change", {"llama + mqa": 1.0, "llama": -1.0}),
    ]
    assert layout.baseline == "gpt2"
    assert layout.notes == []


def test_a_change_replaces_what_it_conflicts_with(laid):
    layout = laid(DESIGN.format(changes="[relu_squared]"))
    assert "swiglu" not in layout.arms["llama + relu_squared - swiglu"].uses
    assert layout.notes == ["in llama, relu_squared replaces swiglu"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ("[rope]", "changes.0: 'llama' has 'rope' already"),
        ("[mqa, nope]", "changes.1: no plugin named 'nope'"),
        ('["rope(base=10000.0) - learned"]', "'gpt2' has no 'learned' to remove"),
        ('["relu_squared + geglu"]', "'relu_squared' and 'geglu' conflict"),
        ('["- swiglu"]', "'gpt2' has no 'swiglu' to remove"),
        ("[logit_scale, logit_scale]", None),
    ],
)
def test_changes_that_cannot_be_made(laid, changes, reason):
    if reason is None:
        assert len(laid(DESIGN.format(changes=changes)).arms) == 4
        return
    with pytest.raises(UserError, match=r"x\.yaml:3:\d+: design\.") as caught:
        laid(DESIGN.format(changes=changes))
    assert reason in str(caught.value)


def test_nothing_changed(laid):
    text = "design: {kind: contexts, contexts: [llama], changes: ['rope(base=10000.0)']}\n"
    with pytest.raises(UserError, match="'rope' changes nothing in 'llama'"):
        laid(text)


def test_the_same_context_twice(laid):
    text = "design: {kind: contexts, contexts: [gpt2, 'gpt2 '], changes: [mqa]}\n"
    with pytest.raises(UserError, match=r"contexts\.1: 'gpt2 ?' is a context"):
        laid(text)


def test_unknown_context(laid):
    text = "design: {kind: contexts, contexts: [gpt2, lama], changes: [mqa]}\n"
    with pytest.raises(UserError, match=r"design\.contexts\.1: no family named 'lama'"):
        laid(text)


def test_from_and_to_belong_to_other_designs(laid):
    with pytest.raises(UserError, match="starts from its `contexts`"):
        laid("from: gpt2\n" + DESIGN.format(changes="[mqa]"))
