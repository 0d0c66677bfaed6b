"""Models to and from `transformers`, by the forms that families have there. The one place that
imports it, lazily.
"""

import importlib.util
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import nn

from ablab.arch.composition.model import architecture
from ablab.arch.composition.registry import Family, Registry
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
    """How an architecture sits in a family's form. `misfits`: the paths that have none there; none:
    it fits.
    """

    family: Family
    form: TransformersForm
    misfits: tuple[str, ...]


def nearest_form(arch: Architecture, registry: Registry) -> Fit:
    """The form that fits `arch`, or the one that it misses at the fewest paths. Raises UserError
    where there is no form.
    """
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
    """The `transformers` model with the weights of `module`, bit for bit; `settings` are added to
    its config.

    Raises UserError where the architecture has no form there, or the package is missing.
    """
    arch, fit = module.arch, nearest_form(module.arch, registry)
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
        with torch.random.fork_rng(devices=[]):  # its own initial values are drawn in vain
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
    """The decoder with the logits of a `transformers` model, on its device and in its number
    format; weights are copied.

    Raises UserError for a model type, or a setting of its config, that has no form here.
    """
    config = getattr(model, "config", None)
    forms = {
        family.form.model_type: family
        for _, family in sorted(registry.families.items())
        if family.form is not None
    }
    kind = getattr(config, "model_type", None)
    if kind not in forms:
        known = ", ".join(sorted(forms)) or "none"
        raise UserError(
            f"no family here has the form of transformers' {kind or type(model).__name__!r} "
            f"(known: {known})"
        )
    family = forms[kind]
    form, base = family.form, architecture(family.name, registry, {})
    assert form is not None
    arch = form.architecture(config, base)
    _check_settings(config, form, arch)
    decoder = Decoder(arch)
    shapes = {name: parameter.shape for name, parameter in decoder.named_parameters()}
    state = {name: parameter.detach() for name, parameter in model.named_parameters()}
    decoder.load_state_dict(form.ours(state, shapes, arch.dims.layers), assign=True)
    return decoder.to(next(model.parameters()).device)


def _check_settings(config: Any, form: TransformersForm, arch: Architecture) -> None:
    """Raises UserError for the first setting that the config of `arch` would not have."""
    kind = type(config)
    plain = kind(**form.settings(arch), **_NO_TOKENS)
    own = inspect.get_annotations(kind)
    if not own:  # before version 5 a config does not declare its settings
        raise UserError(f"this transformers is too old: {_NEEDED}")
    for name in own:
        value, expected = getattr(config, name), getattr(plain, name)
        if name in (*_FREE, *form.free) or value == expected or value in form.same.get(name, ()):
            continue
        raise UserError(
            f"{form.model_type} with {name}={value!r} has no form here (only with {expected!r})"
        )


def package() -> ModuleType:
    """`transformers`. Raises UserError where it is not installed, or too old to be given all
    settings.
    """
    if importlib.util.find_spec("transformers") is None:
        raise UserError("transformers is not installed (`pip install 'ablab[hf]'`)")
    import transformers

    if int(transformers.__version__.split(".")[0]) < 5:
        raise UserError(f"transformers {transformers.__version__} is too old: {_NEEDED}")
    return transformers
