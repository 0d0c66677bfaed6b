"""RMSNorm (LLaMA)."""

from typing import Annotated

from pydantic import Field

from ablab.plugin import Edit, RmsNorm, plugin


@plugin(source="Zhang & Sennrich 2019, arXiv:1910.07467")
class Rmsnorm:
    """RMSNorm instead of LayerNorm: division by the root mean square, with a gain and no bias."""

    eps: Annotated[float, Field(gt=0)] = 1e-5

    def edit(self) -> Edit:
        """Return an edit that sets the norm."""
        return {"norm": RmsNorm(self.eps)}
