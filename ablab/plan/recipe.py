"""The recipe of a study, completed by its preset, and the plugins that it adds to every arm."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from ablab.arch.composition.compose import overlap
from ablab.arch.composition.expression import Mention, Model, Use, parse_terms
from ablab.arch.composition.registry import Registry
from ablab.errors import UserError, unknown
from ablab.spec.nuisance import RECIPE, Around
from ablab.spec.run import RecipeConfig
from ablab.spec.yaml_document import Document

_SLOTS = ("optimizer", "schedule")


@dataclass(frozen=True)
class StudyRecipe:
    """The recipe from which every arm starts."""

    config: RecipeConfig
    """Options of the study's recipe, over those of its preset."""
    uses: Mapping[str, Use]
    """Plugins that the recipe and its preset name."""

    def under(self, model: Model) -> Model:
        """Return `model` with the plugins of the recipe added.

        A plugin is not added if the model has it already, or has one that writes the same path.
        """
        edits = [use.claim().edit for use in model.uses.values()]
        added = {
            name: use
            for name, use in self.uses.items()
            if name not in model.uses and not any(overlap(use.claim().edit, edit) for edit in edits)
        }
        return replace(model, uses=dict(sorted({**model.uses, **added}.items())))


def study_recipe(
    config: RecipeConfig,
    registry: Registry,
    document: Document,
    place_of: Callable[[str], str] | None = None,
) -> StudyRecipe:
    """Resolve the preset and the plugins of a study's `recipe`.

    `place_of` returns the position and the name of what sets a key, for errors; by default that is
    the key below `recipe`. Raises UserError with the position of what is invalid.
    """

    def place(key: str) -> str:
        return place_of(key) if place_of else document.at(["recipe", key])

    try:
        config = _with_preset(config, registry)
    except UserError as error:
        raise error.at(place("preset")) from None
    uses: dict[str, Use] = {}
    for key in (*_SLOTS, "plugins"):
        try:
            for use in _uses(key, getattr(config, key), registry):
                _check_disjoint(use, uses)
                uses[use.plugin.name] = use
        except UserError as error:
            raise error.at(place(key)) from None
    return StudyRecipe(config, uses)


def with_level(config: RecipeConfig, name: str, levels: Any, which: int) -> RecipeConfig:
    """Return a complete recipe with a level, 0 or 1, of the nuisance factor `name`."""
    option = name.removeprefix(RECIPE)
    if option == name:
        plugins = " + ".join(filter(None, [config.plugins, levels[which]]))
        return config.model_copy(update={"plugins": plugins})
    if isinstance(levels, Around):
        value = getattr(config, option) * levels.factor ** (2 * which - 1)
    else:
        value = levels[which]
    return RecipeConfig.model_validate({**config.model_dump(exclude={"preset"}), option: value})


def _with_preset(config: RecipeConfig, registry: Registry) -> RecipeConfig:
    """Return `config` with the options of its preset where it sets none itself."""
    if config.preset is None:
        return config
    if config.preset not in registry.recipes:
        raise unknown("recipe preset", config.preset, registry.recipes)
    preset = registry.recipes[config.preset].recipe
    try:
        return RecipeConfig.model_validate(
            {**preset.settings(), **config.model_dump(exclude_unset=True)}
        )
    except ValidationError as error:
        first = error.errors()[0]
        location = ".".join(map(str, first["loc"]))
        raise UserError(
            f"the recipe of {config.preset!r} states {location} {first['input']!r}: {first['msg']}"
        ) from None


def _uses(key: str, text: str | None, registry: Registry) -> Iterator[Use]:
    """Yield the plugins that a key of the recipe names."""
    mentions = parse_terms(text or "")
    if text is not None and key in _SLOTS:
        yield _slot(key, text, mentions, registry)
        return
    for mention in mentions:
        if mention.sign == "-":
            raise UserError(
                f"{text!r}: these are given to every arm; what an arm shall not have is left "
                "out here"
            )
        plugin = registry.plugin(mention.name)
        yield Use(plugin, plugin.configure(mention.options))


def _slot(key: str, text: str, mentions: list[Mention], registry: Registry) -> Use:
    """Return the plugin that `text` names. It must write `recipe.{key}`."""
    path = f"recipe.{key}"
    if len(mentions) != 1 or mentions[0].sign == "-":
        raise UserError(f"one {key} is expected, `name` or `name(option=value)`, not {text!r}")
    (mention,) = mentions
    if mention.name not in registry.plugins:
        raise unknown(key, mention.name, _writers(path, registry))
    plugin = registry.plugins[mention.name]
    use = Use(plugin, plugin.configure(mention.options))
    edited = sorted(use.claim().edit)
    if path not in edited:
        paths = ", ".join(f"`{name}`" for name in edited)
        raise UserError(
            f"{mention.name!r} is no {key}: it writes {paths} (known: "
            f"{', '.join(sorted(_writers(path, registry))) or 'none'})"
        )
    return use


def _writers(path: str, registry: Registry) -> list[str]:
    """Return the names of the plugins that write `path`."""
    return [name for name, plugin in registry.plugins.items() if path in plugin.paths]


def _check_disjoint(use: Use, others: Mapping[str, Use]) -> None:
    """Raise UserError if two plugins of the recipe are the same or write the same path."""
    for name, other in others.items():
        if name == use.plugin.name:
            raise UserError(f"{name!r} is named twice in the recipe")
        paths = overlap(use.claim().edit, other.claim().edit)
        if paths:
            raise UserError(
                f"{use.plugin.name!r} and {name!r} both write `{paths[0]}`: name one of "
                "them in the recipe"
            )
