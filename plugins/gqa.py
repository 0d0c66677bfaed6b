"""Grouped-query attention."""

from typing import Annotated

from pydantic import Field

from ablab.plugin import Edit, plugin


@plugin(source="Ainslie et al. 2023, arXiv:2305.13245")
class Gqa:
    """Grouped-query attention: `groups` heads of keys and values, each shared by an equal number
    of query heads.
    """

    groups: Annotated[int, Field(ge=1)] = 2

    def edit(self) -> Edit:
        """Return an edit that sets the number of kv heads."""
        return {"mixer.kv_heads": self.groups}
