"""GeGLU feed-forward."""

from typing import Annotated

from pydantic import Field

from ablab.plugin import Edit, GatedMlp, Gelu, plugin


@plugin(source="Shazeer 2020, arXiv:2002.05202")
class Geglu:
    """GeGLU: a feed-forward gated by GELU, by default 2/3·4d wide, so that it costs about as much
    as GELU at 4d.

    The width is `factor` × width, rounded up to a multiple of min(`multiple`, width / 16).
    """

    factor: Annotated[float, Field(gt=0)] = 8 / 3
    multiple: Annotated[int, Field(ge=1)] = 256

    def edit(self) -> Edit:
        """Return an edit that sets the feed-forward."""
        return {"mlp": GatedMlp(Gelu(), self.factor, self.multiple)}
