"""The correspondence between a family and its models in `transformers`, as data: the settings of
configs and the names of weights.

A form converts in both directions, so it can be checked by round trips: a part of an architecture
that its settings do not reproduce cannot be exported, and a setting that its architecture does not
reproduce cannot be imported. `transformers` itself is not imported: a config is any object with the
settings as attributes.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from ablab.arch.composition.compose import Composite, Edit, EditClaim, compose
from ablab.arch.value import Architecture, Dims, at_layer
from ablab.errors import UserError

State = Mapping[str, Tensor]

# Initialisation and dropout do not affect the logits of a model with given weights.
_IMMATERIAL = ("init", "dropout")


@dataclass(frozen=True)
class Match:
    """A module in `transformers` (`theirs`) and the modules in ablab (`ours`) whose outputs it
    concatenates.

    `{}` stands for the layer index. `transposed` states that their weight is `(in, out)` where ours
    is `(out, in)`.
    """

    theirs: str
    ours: tuple[str, ...]
    transposed: bool = False

    def layers(self, count: int) -> "Iterator[Match]":
        """Yield the match for each layer, or itself if it does not depend on the layer."""
        for i in range(count if "{}" in self.theirs else 1):
            yield replace(
                self, theirs=self.theirs.format(i), ours=tuple(name.format(i) for name in self.ours)
            )

    def converted(self, weight: Tensor) -> Tensor:
        """Return a weight in the layout of the other side."""
        return weight.T if self.transposed and weight.ndim == 2 else weight


class TransformersForm(ABC):
    """The correspondence between a family and `transformers`.

    `model_type` is the name in configs, and `matches` relate the weights. `free` are settings that
    do not affect the logits or that `edit` handles completely. `same` lists other values of a
    setting that mean the same as the value from `settings`. `equivalent` are paths at which equal
    models may differ, since `settings` expresses them differently (a width instead of a factor).
    """

    model_type: str
    matches: Sequence[Match]
    free: Sequence[str] = ()
    same: Mapping[str, Sequence[Any]] = {}
    equivalent: Sequence[str] = ()

    @abstractmethod
    def dims(self, config: Any) -> Dims:
        """Return the sizes of a config."""

    @abstractmethod
    def edit(self, config: Any, base: Architecture) -> Edit:
        """Return what a config changes in the value `base` of the family, apart from sizes."""

    @abstractmethod
    def settings(self, arch: Architecture) -> dict[str, Any]:
        """Return the settings of a config for `arch`, in which every `ByLayer` is resolved.

        Slots may hold any values: those that the family does not support are detected by the round
        trip.
        """

    def architecture(self, config: Any, base: Architecture) -> Architecture:
        """Return the architecture of a config, given the value `base` of the family."""
        sized = replace(base, dims=self.dims(config))
        return compose(
            Composite(sized),
            [EditClaim(f"the form of {self.model_type}", self.edit(config, sized))],
        ).arch

    def misfits(self, arch: Architecture, base: Architecture) -> list[str]:
        """Return the paths of `arch` that `settings` cannot express."""
        first = at_layer(arch, 0)
        settings = self.settings(first)
        expected = self.architecture(SimpleNamespace(**settings), base)
        ignored = (*_IMMATERIAL, *self.equivalent)
        paths: dict[str, None] = {}  # an ordered set
        for layer in range(arch.dims.layers):
            actual = at_layer(arch, layer)
            differing = differences(actual, expected)
            paths |= dict.fromkeys(path for path in differing if not _among(path, ignored))
            if self.settings(actual) != settings:
                paths |= dict.fromkeys(differences(actual, first))
        return list(paths)

    def theirs(self, state: State, layers: int) -> dict[str, Tensor]:
        """Return our weights under their names and in their layout. Tied weights appear once, as in
        `named_parameters`.
        """
        weights: dict[str, Tensor] = {}
        for match, part in self._parts(layers):
            ours = [f"{name}.{part}" for name in match.ours]
            if ours[0] in state:
                weights[f"{match.theirs}.{part}"] = match.converted(
                    torch.cat([state[name] for name in ours])
                )
        return weights

    def ours(
        self, state: State, shapes: Mapping[str, torch.Size], layers: int
    ) -> dict[str, Tensor]:
        """Return their weights under our names and in our layout. `shapes` are those of all our
        weights. Raises UserError if the two sides do not have the same weights.
        """
        weights: dict[str, Tensor] = {}
        matched: set[str] = set()
        for match, part in self._parts(layers):
            theirs = f"{match.theirs}.{part}"
            ours = [f"{name}.{part}" for name in match.ours]
            if theirs in state and ours[0] in shapes:
                matched.add(theirs)
                parts = match.converted(state[theirs]).split([shapes[name][0] for name in ours])
                weights |= {
                    name: weight.clone(memory_format=torch.contiguous_format)
                    for name, weight in zip(ours, parts, strict=True)
                }
        unmatched = [*sorted(set(state) - matched), *sorted(set(shapes) - set(weights))]
        if unmatched:
            raise UserError(
                f"the model's weights are not those of {self.model_type} with its "
                f"language-model head: {unmatched[0]} has no match"
            )
        return weights

    def _parts(self, layers: int) -> Iterator[tuple[Match, str]]:
        for match in self.matches:
            for layer_match in match.layers(layers):
                yield layer_match, "weight"
                yield layer_match, "bias"


def differences(a: Any, b: Any, prefix: str = "") -> list[str]:
    """Return the paths at which two frozen values differ, descending as long as both have the same
    type.
    """
    if isinstance(a, Dims) and isinstance(b, Dims):
        # The default head_dim equals its explicit value.
        a, b = (replace(dims, head_dim=dims.head_width) for dims in (a, b))
    if type(a) is not type(b) or not is_dataclass(a):
        return [] if a == b else [prefix]
    parent = f"{prefix}." if prefix else ""
    return [
        path
        for f in fields(a)
        for path in differences(getattr(a, f.name), getattr(b, f.name), parent + f.name)
    ]


def _among(path: str, prefixes: Iterable[str]) -> bool:
    return any(f"{path}.".startswith(f"{prefix}.") for prefix in prefixes)
