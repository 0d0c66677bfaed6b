"""The conformance suite for plugins, built in or third-party.

A plugin's own tests need three lines:

    from ablab.testing import Conformance

    class TestMine(Conformance):
        expression = "gpt2 + mine"

The plugin is looked up among the installed ones and then in the folder of the test file. If it is a
loose file elsewhere, set `plugins` to the folders to search. `dims` replaces the small default
sizes. `without_gradient` lists weights whose gradient may be zero (patterns such as
`*.mixer.shift`); state the reason there.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ablab.arch.checks import cache_difference, causal_fault, gradient_fault, lively
from ablab.arch.composition.expression import resolve
from ablab.arch.composition.model import architecture
from ablab.arch.composition.registry import Registry, load_registry
from ablab.arch.counting.account import account, count_flops, count_parameters
from ablab.arch.counting.attention import PairwiseAttention
from ablab.arch.decoder.build import build_model
from ablab.arch.decoder.decoder import on_meta
from ablab.arch.value import Architecture
from ablab.errors import UserError

SMALL: Mapping[str, int] = {"layers": 2, "width": 32, "heads": 4, "vocab": 61, "context": 12}


def check_meta(arch: Architecture) -> None:
    """The same parameters on the meta device and for real, each with a role or values of its
    own.
    """
    real, meta = build_model(arch, 0), on_meta(arch)
    shapes = {name: p.shape for name, p in real.named_parameters()}
    assert shapes == {name: p.shape for name, p in meta.named_parameters()}
    assert count_parameters(real) == count_parameters(meta) == account(arch).parameters


def check_seeded(arch: Architecture) -> None:
    """The same seed gives the same weights, whatever else was drawn before."""
    first = build_model(arch, 7)
    torch.rand(3)
    second = build_model(arch, 7)
    for (name, a), b in zip(first.named_parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b), f"{name} is not drawn from the seed and its name alone"


def check_causal(arch: Architecture) -> None:
    """A later token changes no earlier logit; and every token changes its own."""
    _none(causal_fault(lively(arch)))


def check_gradients(arch: Architecture, without: Sequence[str] = ()) -> None:
    """The loss gives every parameter a finite gradient, which is not zero for some sequence: each
    weight takes part.

    `without`: patterns (as of file names) of parameters whose gradient may be zero beside
    `WITHOUT_GRADIENT`; state why there.
    """
    _none(gradient_fault(lively(arch), without))


def _none(fault: str) -> None:
    assert not fault, fault


def check_flops(arch: Architecture) -> None:
    """FLOPs can be counted; attention is charged for the pairs that it really attends to."""
    flops = count_flops(on_meta(arch))
    assert 0 < flops.forward < flops.training
    for name, module in lively(arch).named_modules():
        if isinstance(module, PairwiseAttention):
            seen, charged = visible_pairs(module, arch), module.pairs(arch.dims.context)
            assert charged == seen, f"{name} charges {charged} pairs and attends to {seen}"


def visible_pairs(attend: Any, arch: Architecture) -> int:
    """How many (head, query, key) triples of one sequence are connected, found by moving each value
    and looking at each sum.
    """
    generator = torch.Generator().manual_seed(3)
    time, width = arch.dims.context, arch.dims.head_width
    q, k, v = (
        torch.randn(1, heads, time, width, dtype=torch.float64, generator=generator)
        for heads in (attend.heads, attend.kv_heads, attend.kv_heads)
    )
    pairs = 0
    with torch.no_grad():
        y = attend(q, k, v)
        for t in range(time):
            moved = v.clone()
            moved[:, :, t] += 1.0
            pairs += int(((attend(q, k, moved) - y).abs().amax(dim=3) > 1e-12).sum())
    return pairs


def check_cached(arch: Architecture) -> None:
    """Read in pieces, with a memory between them, a sequence gives the logits of being read at
    once.
    """
    difference = cache_difference(lively(arch))
    assert difference < 1e-9, f"cached logits are {difference:.3g} away"


CHECKS = (check_meta, check_seeded, check_causal, check_gradients, check_flops, check_cached)


class Conformance:
    """Inherit from it in a test module and set `expression`.

    `plugins`: folders of loose plugin files. Without it, the folder of the test file is searched
    if the installed plugins do not resolve `expression`.
    """

    expression: str
    plugins: Sequence[str | Path] = ()
    dims: Mapping[str, int] = SMALL
    without_gradient: Sequence[str] = ()

    def registry(self) -> Registry:
        """Return the installed plugins and the loose files that the test needs."""
        if self.plugins:
            return load_registry([Path(folder) for folder in self.plugins])
        installed = load_registry()
        try:
            resolve(self.expression, installed)
        except UserError:
            # Only now: a folder of tests for installed plugins may hold files that are none.
            test_file = getattr(sys.modules.get(type(self).__module__), "__file__", None)
            return installed if test_file is None else load_registry([Path(test_file).parent])
        return installed

    def architecture(self) -> Architecture:
        """What `expression` names, at the sizes in `dims`."""
        return architecture(self.expression, self.registry(), dict(self.dims))

    def test_meta(self) -> None:
        """See `check_meta`."""
        check_meta(self.architecture())

    def test_seeded(self) -> None:
        """See `check_seeded`."""
        check_seeded(self.architecture())

    def test_causal(self) -> None:
        """See `check_causal`."""
        check_causal(self.architecture())

    def test_gradients(self) -> None:
        """See `check_gradients`."""
        check_gradients(self.architecture(), self.without_gradient)

    def test_flops(self) -> None:
        """See `check_flops`."""
        check_flops(self.architecture())

    def test_cached(self) -> None:
        """See `check_cached`."""
        check_cached(self.architecture())
