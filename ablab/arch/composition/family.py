"""Families of models, and named recipes. Plugin modules define them; a registry collects them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ablab.arch.composition.transformers_form import TransformersForm
from ablab.arch.recipe import RecipePreset
from ablab.arch.value import Dims
from ablab.errors import unknown


@dataclass(frozen=True)
class Family:
    """A named set of plugins with named sizes. `plugins` is an expression without a family, such as
    `pre_norm + scaled_init`.

    `recipe` is the published training recipe; a study has to request it by the name of the family.
    `form` describes the same models in `transformers`, if it has them.
    """

    name: str
    summary: str
    source: str
    plugins: str
    sizes: Mapping[str, Dims] = field(default_factory=dict)
    form: TransformersForm | None = None
    recipe: RecipePreset | None = None

    def named_recipe(self, recipe: RecipePreset) -> "NamedRecipe":
        """Return `recipe` under the name of the family."""
        return NamedRecipe(self.name, f"The recipe of {self.name}.", self.source, recipe)

    def dims(self, size: str | None) -> Dims:
        """Return the dims of a named size, or of the first size if `size` is None. Raises UserError
        for an unknown name.
        """
        if size is None:
            return next(iter(self.sizes.values()), Dims())
        if size not in self.sizes:
            raise unknown(f"size of {self.name}", size, self.sizes)
        return self.sizes[size]


@dataclass(frozen=True)
class NamedRecipe:
    """A training recipe that belongs to no family; a study has to request it by its name."""

    name: str
    summary: str
    source: str
    recipe: RecipePreset
