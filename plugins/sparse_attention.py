"""Alternating dense and locally banded attention (GPT-3)."""

from typing import Annotated, Literal

from pydantic import Field

from ablab.plugin import Banded, ByLayer, Causal, Edit, plugin


@plugin(
    source=(
        "Brown et al. 2020 (GPT-3), arXiv:2005.14165, section 2.1; Child et al. 2019, "
        "arXiv:1904.10509"
    )
)
class SparseAttention:
    """Sparse attention: layers alternate between dense and locally banded attention.

    With a `band`, a query attends to itself and the band − 1 keys before it (the paper does not
    state the number). `layers` are those that are banded, counted from 0. With `strided`, half of
    the heads in these layers are local, and the others attend to every band-th key.
    """

    band: Annotated[int, Field(ge=1)] = 128
    layers: Literal["odd", "even", "all"] = "odd"
    strided: bool = False

    def edit(self) -> Edit:
        """Return an edit that sets the pattern."""
        banded = Banded(self.band, self.strided)
        return {
            "mixer.pattern": {
                "odd": ByLayer(Causal(), banded),
                "even": ByLayer(banded, Causal()),
                "all": banded,
            }[self.layers]
        }
