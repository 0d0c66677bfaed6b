"""The recipe of a study: its preset filled in, and the plugins that it gives every arm."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from pydantic import ValidationError

from ablab.arch.composition.compose import overlap
from ablab.arch.composition.expression import Mention, Model, Use, parse_terms
from ablab.arch.composition.registry import Registry
from ablab.errors import UserError, unknown
from ablab.spec.run import RecipeConfig
from ablab.spec.yaml_document import Document

_SLOTS = ("optimizer", "schedule")


@dataclass(frozen=True)
class StudyRecipe:
    """What every arm starts from. `config`: the study's recipe over its preset's; `uses`: the
    plugins that both name.
    """

    config: RecipeConfig
    uses: Mapping[str, Use]

    def under(self, model: Model) -> Model:
        """`model` with these plugins too, less those of which it has its own, or whose paths its
        own write.
        """
        own = [use.claim().edit for use in model.uses.values()]
        given = {
            name: use
            for name, use in self.uses.items()
            if name not in model.uses and not any(overlap(use.claim().edit, edit) for edit in own)
        }
        return replace(model, uses=dict(sorted({**model.uses, **given}.items())))


def study_recipe(
    config: RecipeConfig,
    registry: Registry,
    document: Document,
    written: Callable[[str], str] | None = None,
) -> StudyRecipe:
    """Reads a study's `recipe` against `registry`. `written`: the place and name of what gives a
    key its value, where that is not `recipe` itself. Raises UserError with the place of what is
    wrong.
    """

    def place(key: str) -> str:
        return written(key) if written else document.at(["recipe", key])

    try:
        config = _with_preset(config, registry)
    except UserError as error:
        raise error.at(place("preset")) from None
    uses: dict[str, Use] = {}
    for key in (*_SLOTS, "plugins"):
        try:
            for use in _uses(key, getattr(config, key), registry):
                _check_alone(use, uses)
                uses[use.plugin.name] = use
        except UserError as error:
            raise error.at(place(key)) from None
    return StudyRecipe(config, uses)


def _with_preset(config: RecipeConfig, registry: Registry) -> RecipeConfig:
    presets = {
        name: family.recipe
        for name, family in registry.families.items()
        if family.recipe is not None
    }
    if config.preset is None:
        return config
    if config.preset not in presets:
        raise unknown("recipe preset", config.preset, presets)
    try:
        return RecipeConfig.model_validate(
            {**presets[config.preset].settings(), **config.model_dump(exclude_unset=True)}
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(
            f"the recipe of {config.preset!r} states {where} {first['input']!r}: {first['msg']}"
        ) from None


def _uses(key: str, text: str | None, registry: Registry) -> Iterator[Use]:
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
    """The plugin that `text` names, which must write `recipe.{key}`."""
    path = f"recipe.{key}"
    if len(mentions) != 1 or mentions[0].sign == "-":
        raise UserError(f"one {key} is expected, `name` or `name(option=value)`, not {text!r}")
    (mention,) = mentions
    known = [name for name, plugin in registry.plugins.items() if path in plugin.paths]
    if mention.name not in registry.plugins:
        raise unknown(key, mention.name, known)
    plugin = registry.plugins[mention.name]
    use = Use(plugin, plugin.configure(mention.options))
    written = sorted(use.claim().edit)
    if path not in written:
        paths = ", ".join(f"`{p}`" for p in written)
        raise UserError(
            f"{mention.name!r} is no {key}: it writes {paths} (known: "
            f"{', '.join(sorted(known)) or 'none'})"
        )
    return use


def _check_alone(use: Use, others: Mapping[str, Use]) -> None:
    for name, other in others.items():
        if name == use.plugin.name:
            raise UserError(f"{name!r} is named twice in the recipe")
        if shared := overlap(use.claim().edit, other.claim().edit):
            raise UserError(
                f"{use.plugin.name!r} and {name!r} both write `{shared[0]}`: name one of "
                "them in the recipe"
            )
