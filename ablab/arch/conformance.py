"""The conformance suite of plugins: what the model of every plugin, built in or third-party, must
satisfy.

`checks` is the one list. `ablab check` applies it to plugin files, and `ablab.testing` makes tests
of it. `ablab run` applies those of `ablab.arch.checks` again to each arm at its sizes.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from ablab.arch.checks import cache_difference, causal_fault, gradient_fault, lively
from ablab.arch.composition.guard import PluginTimeout, calling
from ablab.arch.counting.account import account, count_flops, count_parameters
from ablab.arch.counting.attention import PairwiseAttention
from ablab.arch.decoder.build import build_model
from ablab.arch.decoder.decoder import on_meta
from ablab.arch.value import Architecture
from ablab.errors import UserError, root_cause

SMALL: Mapping[str, int] = {"layers": 2, "width": 32, "heads": 4, "vocab": 61, "context": 12}
"""The sizes of models that are checked."""
_CACHE_TOLERANCE = 1e-9  # in float64


class Nonconforming(AssertionError):
    """A model fails a check; the message says what is wrong with it."""


@dataclass(frozen=True)
class Check:
    """One check of the suite."""

    name: str
    claim: str
    """What holds for a model that passes, as a main clause."""
    run: Callable[[Architecture], None]
    """Raises Nonconforming if the model of an architecture fails, and whatever its modules raise.
    """


def checks(without_gradient: Sequence[str] = ()) -> tuple[Check, ...]:
    """Return the checks of the suite. `without_gradient` is `without` of `check_gradients`."""
    gradients = partial(check_gradients, without=without_gradient)
    return (
        Check("meta", "parameters can be counted without memory", check_meta),
        Check("seeded", "weights depend on the seed and their names alone", check_seeded),
        Check("causal", "no token sees a later one", check_causal),
        Check("gradients", "every weight takes part in the loss", gradients),
        Check("flops", "FLOPs can be counted, attention by its pairs", check_flops),
        Check("cached", "decoding with a cache gives the same logits", check_cached),
    )


def check_meta(arch: Architecture) -> None:
    """Check that the model has the same parameters on the meta device and for real."""
    real = build_model(arch, 0)
    meta = on_meta(arch)
    shapes = {name: tuple(p.shape) for name, p in real.named_parameters()}
    meta_shapes = {name: tuple(p.shape) for name, p in meta.named_parameters()}
    for name in sorted(shapes.keys() | meta_shapes.keys()):
        here, there = shapes.get(name), meta_shapes.get(name)
        _require(here == there, f"{name} has shape {here}, and {there} on the meta device")
    counts = [count_parameters(real), count_parameters(meta), account(arch).parameters]
    _require(
        all(count == counts[0] for count in counts),
        f"parameters are counted as {counts[0].total:,}, and as {counts[1].total:,} or "
        f"{counts[2].total:,} on the meta device",
    )


def check_seeded(arch: Architecture) -> None:
    """Check that the same seed gives the same weights, whatever else was drawn before."""
    first = build_model(arch, 7)
    torch.rand(3)
    second = build_model(arch, 7)
    for (name, a), b in zip(first.named_parameters(), second.parameters(), strict=True):
        _require(torch.equal(a, b), f"{name} is not drawn from the seed and its name alone")


def check_causal(arch: Architecture) -> None:
    """Check that a token changes its own logits and no earlier ones."""
    _require_none(causal_fault(lively(arch)))


def check_gradients(arch: Architecture, without: Sequence[str] = ()) -> None:
    """Check that the loss gives every parameter a finite gradient, which is not zero for some
    sequence: each weight takes part.

    `without`: patterns (as of file names) of parameters whose gradient may be zero, besides
    `WITHOUT_GRADIENT`; state why there.
    """
    _require_none(gradient_fault(lively(arch), without))


def check_flops(arch: Architecture) -> None:
    """Check that FLOPs can be counted, and that attention is charged for the pairs that it really
    attends to.
    """
    flops = count_flops(on_meta(arch))
    _require(
        0 < flops.forward < flops.training,
        f"a token takes {flops.forward:g} FLOPs forward and {flops.training:g} in training",
    )
    for name, module in lively(arch).named_modules():
        if isinstance(module, PairwiseAttention):
            pairs = visible_pairs(module, arch)
            charged = module.pairs(arch.dims.context)
            _require(charged == pairs, f"{name} charges {charged} pairs and attends to {pairs}")


def visible_pairs(attend: Any, arch: Architecture) -> int:
    """Return how many (head, query, key) triples of one sequence are connected, found by moving
    each value and looking at each sum.
    """
    generator = torch.Generator().manual_seed(3)
    time = arch.dims.context
    q, k, v = (
        torch.randn(1, heads, time, arch.dims.head_width, dtype=torch.float64, generator=generator)
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
    """Check that a sequence that is read in pieces, with a cache between them, gives the logits of
    being read at once.
    """
    difference = cache_difference(lively(arch))
    _require(difference < _CACHE_TOLERANCE, f"cached logits are {difference:.3g} away")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise Nonconforming(message)


def _require_none(fault: str) -> None:
    _require(not fault, fault)


def apply(suite: Sequence[Check], arch: Architecture) -> Iterator[tuple[Check, str]]:
    """Yield the checks with what is wrong with the model of an architecture; an empty string if
    nothing is.

    Plugins' code is guarded. The first check that does not end is the last that is yielded.
    """
    for check in suite:
        try:
            yield check, _fault(check, arch)
        except UserError as error:
            yield check, str(error)
            if isinstance(root_cause(error), PluginTimeout):
                return


def _fault(check: Check, arch: Architecture) -> str:
    with calling("its model fails"):
        try:
            check.run(arch)
        except Nonconforming as error:
            return str(error)
    return ""
