"""Conversion of models to and from `transformers` by the forms of families. Only this module
imports `transformers`, and it does so lazily.
"""

import importlib.util
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import nn

from ablab.arch.composition.family import Family
from ablab.arch.composition.model import architecture
from ablab.arch.composition.registry import Registry
from ablab.arch.composition.transformers_form import TransformersForm
from ablab.arch.decoder.decoder import Decoder
from ablab.arch.value import Architecture
from ablab.errors import UserError

# Settings that every config may have and that change no logit.
_FREE = ("bos_token_id", "eos_token_id", "initializer_range", "pad_token_id", "use_cache")
_NEEDED = "version 5 or later is needed (`pip install 'ablab[hf]'`)"
_NO_TOKENS = {"bos_token_id": None, "eos_token_id": None}


@dataclass(frozen=True)
class Fit:
    """The fit of an architecture to the form of a family. `misfits` are the paths that the form
    does not support.
    """

    family: Family
    form: TransformersForm
    misfits: tuple[str, ...]


def nearest_form(arch: Architecture, registry: Registry) -> Fit:
    """Return the form with the fewest misfits for `arch`. Raises UserError if there is no form."""
    fits = [
        Fit(family, family.form, tuple(family.form.misfits(arch, architecture(name, registry, {}))))
        for name, family in sorted(registry.families.items())
        if family.form is not None
    ]
    if not fits:
        raise UserError("no family here has a form in transformers")
    return min(fits, key=lambda fit: len(fit.misfits))


def to_transformers(
    module: Decoder, registry: Registry, settings: Mapping[str, Any] | None = None
) -> Any:
    """Return the `transformers` model with exactly the weights of `module`. `settings` are added to
    its config.

    Raises UserError if the architecture has no form there or if the package is missing.
    """
    arch = module.arch
    fit = nearest_form(arch, registry)
    if fit.misfits:
        raise UserError(
            f"this model has no form in transformers: {fit.form.model_type} cannot say "
            f"{', '.join(fit.misfits)}"
        )
    transformers = package()
    try:
        config = transformers.AutoConfig.for_model(
            fit.form.model_type,
            **{**fit.form.settings(arch.site(0).arch), **_NO_TOKENS, **(settings or {})},
        )
        with torch.random.fork_rng(devices=[]):  # for initial values that are overwritten
            model: nn.Module = transformers.AutoModelForCausalLM.from_config(config)
    except Exception as error:  # its checks of sizes raise classes of their own
        raise UserError(
            f"transformers refuses this {fit.form.model_type}: {' '.join(str(error).split())}"
        ) from error
    first = next(module.parameters())
    model.to(device=first.device, dtype=first.dtype)
    theirs = fit.form.theirs(dict(module.named_parameters()), arch.dims.layers)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(theirs.pop(name))
    assert not theirs, theirs.keys()
    return model.eval()


def from_transformers(model: Any, registry: Registry) -> Decoder:
    """Return the decoder with the logits of a `transformers` model, on its device and in its dtype.
    Weights are copied.

    Raises UserError for an unsupported model type or an unsupported setting of its config.
    """
    config = getattr(model, "config", None)
    forms = {
        family.form.model_type: family
        for _, family in sorted(registry.families.items())
        if family.form is not None
    }
    kind = getattr(config, "model_type", None)
    if kind not in forms:
        names = ", ".join(sorted(forms)) or "none"
        raise UserError(
            f"no family here has the form of transformers' {kind or type(model).__name__!r} "
            f"(known: {names})"
        )
    family = forms[kind]
    form = family.form
    base = architecture(family.name, registry, {})
    assert form is not None
    arch = form.architecture(config, base)
    _check_settings(config, form, arch)
    decoder = Decoder(arch)
    shapes = {name: parameter.shape for name, parameter in decoder.named_parameters()}
    state = {name: parameter.detach() for name, parameter in model.named_parameters()}
    decoder.load_state_dict(form.ours(state, shapes, arch.dims.layers), assign=True)
    return decoder.to(next(model.parameters()).device)


def _check_settings(config: Any, form: TransformersForm, arch: Architecture) -> None:
    """Raise UserError for the first setting that differs from the config of `arch`."""
    kind = type(config)
    plain = kind(**form.settings(arch), **_NO_TOKENS)
    declared = inspect.get_annotations(kind)
    if not declared:  # before version 5 a config does not declare its settings
        raise UserError(f"this transformers is too old: {_NEEDED}")
    for name in declared:
        value = getattr(config, name)
        expected = getattr(plain, name)
        if name in (*_FREE, *form.free) or value == expected or value in form.same.get(name, ()):
            continue
        raise UserError(
            f"{form.model_type} with {name}={value!r} has no form here (only with {expected!r})"
        )


def package() -> ModuleType:
    """Import `transformers`. Raises UserError if it is missing or too old to be used."""
    if importlib.util.find_spec("transformers") is None:
        raise UserError("transformers is not installed (`pip install 'ablab[hf]'`)")
    import transformers

    if int(transformers.__version__.split(".")[0]) < 5:
        raise UserError(f"transformers {transformers.__version__} is too old: {_NEEDED}")
    return transformers
