"""A family's form in `transformers`, as data: which settings say what the architecture says, and
whose weight is whose.

A form is read both ways, so it can be checked by going round: what the settings of an architecture
do not lead back to has no form there, and a setting that the architecture read from it does not
lead back to has no form here. Nothing of `transformers` is imported: a config is any object with
the settings as attributes.
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

# Initial values and dropout leave no trace in the logits of a model that has its weights.
_IMMATERIAL = ("init", "dropout")


@dataclass(frozen=True)
class Match:
    """A module of theirs, and the modules of ours whose outputs it holds one after another.

    `{}` stands for the layer's number. `transposed`: theirs is (in, out), ours (out, in).
    """

    theirs: str
    ours: tuple[str, ...]
    transposed: bool = False

    def layers(self, count: int) -> "Iterator[Match]":
        """The match of each layer; itself, where it is of no layer."""
        for i in range(count if "{}" in self.theirs else 1):
            yield replace(
                self, theirs=self.theirs.format(i), ours=tuple(name.format(i) for name in self.ours)
            )

    def turned(self, weight: Tensor) -> Tensor:
        """A weight in the other's layout."""
        return weight.T if self.transposed and weight.ndim == 2 else weight


class TransformersForm(ABC):
    """How `transformers` says what a family says. `model_type`: the name in its configs. `matches`:
    the weights.

    `free`: settings that change no logit, or that `edit` reads whole. `same`: other values of a
    setting that mean what `settings` writes. `equivalent`: paths where equal models may differ,
    since `settings` says it in other words (a width in place of a factor).
    """

    model_type: str
    matches: Sequence[Match]
    free: Sequence[str] = ()
    same: Mapping[str, Sequence[Any]] = {}
    equivalent: Sequence[str] = ()

    @abstractmethod
    def dims(self, config: Any) -> Dims:
        """The sizes of a config."""

    @abstractmethod
    def edit(self, config: Any, base: Architecture) -> Edit:
        """What a config changes in the family's own value `base`, its sizes apart."""

    @abstractmethod
    def settings(self, arch: Architecture) -> dict[str, Any]:
        """The settings of a config for `arch`, `ByLayer` resolved. Slots may hold any values: what
        is not the family's is found by going round.
        """

    def architecture(self, config: Any, base: Architecture) -> Architecture:
        """The value of a config, from the family's own value `base`."""
        sized = replace(base, dims=self.dims(config))
        return compose(
            Composite(sized),
            [EditClaim(f"the form of {self.model_type}", self.edit(config, sized))],
        ).arch

    def misfits(self, arch: Architecture, base: Architecture) -> list[str]:
        """The paths at which `arch` has no form here; none where `settings(arch)` says all of
        it.
        """
        first = at_layer(arch, 0)
        settings = self.settings(first)
        expected = self.architecture(SimpleNamespace(**settings), base)
        apart = (*_IMMATERIAL, *self.equivalent)
        found: dict[str, None] = {}
        for layer in range(arch.dims.layers):
            here = at_layer(arch, layer)
            found |= dict.fromkeys(p for p in differences(here, expected) if not _among(p, apart))
            if self.settings(here) != settings:
                found |= dict.fromkeys(differences(here, first))
        return list(found)

    def theirs(self, state: State, layers: int) -> dict[str, Tensor]:
        """Our weights under their names, in their layout. Tied weights are one, as in
        `named_parameters`.
        """
        made: dict[str, Tensor] = {}
        for match, part in self._parts(layers):
            ours = [f"{name}.{part}" for name in match.ours]
            if ours[0] in state:
                made[f"{match.theirs}.{part}"] = match.turned(
                    torch.cat([state[name] for name in ours])
                )
        return made

    def ours(
        self, state: State, shapes: Mapping[str, torch.Size], layers: int
    ) -> dict[str, Tensor]:
        """Their weights under our names, in our layout; `shapes`: of all our weights. Raises
        UserError where the two don't have the same weights.
        """
        made: dict[str, Tensor] = {}
        used: set[str] = set()
        for match, part in self._parts(layers):
            theirs, ours = f"{match.theirs}.{part}", [f"{name}.{part}" for name in match.ours]
            if theirs in state and ours[0] in shapes:
                used.add(theirs)
                cut = match.turned(state[theirs]).split([shapes[name][0] for name in ours])
                made |= {
                    name: weight.clone(memory_format=torch.contiguous_format)
                    for name, weight in zip(ours, cut, strict=True)
                }
        if odd := [*sorted(set(state) - used), *sorted(set(shapes) - set(made))]:
            raise UserError(
                f"the model's weights are not those of {self.model_type} with its "
                f"language-model head: {odd[0]} has no match"
            )
        return made

    def _parts(self, layers: int) -> Iterator[tuple[Match, str]]:
        for match in self.matches:
            for one in match.layers(layers):
                yield one, "weight"
                yield one, "bias"


def differences(a: Any, b: Any, prefix: str = "") -> list[str]:
    """The paths at which two frozen values differ: as deep as both are of one kind."""
    if isinstance(a, Dims) and isinstance(b, Dims):
        a, b = (
            replace(dims, head_dim=dims.head_width) for dims in (a, b)
        )  # None and its meaning are one
    if type(a) is not type(b) or not is_dataclass(a):
        return [] if a == b else [prefix]
    below = f"{prefix}." if prefix else ""
    return [
        path
        for f in fields(a)
        for path in differences(getattr(a, f.name), getattr(b, f.name), below + f.name)
    ]


def _among(path: str, prefixes: Iterable[str]) -> bool:
    return any(f"{path}.".startswith(f"{prefix}.") for prefix in prefixes)
