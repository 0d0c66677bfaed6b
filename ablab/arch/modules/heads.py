"""Output heads: the origin of the weight that produces the logits."""

from dataclasses import dataclass

from torch import Tensor, nn

from ablab.arch.modules.linear import Linear
from ablab.arch.roles import Parallel
from ablab.arch.value import BuildContext, Head


@dataclass(frozen=True)
class TiedHead(Head):
    """The output projection is the embedding table (Press & Wolf 2017, arXiv:1608.05859)."""

    def build(self, site: BuildContext) -> nn.Module:
        """Return a module that passes the embedding weight through."""
        return nn.Identity()


class _Untied(nn.Module):
    def __init__(self, width: int, vocab: int) -> None:
        super().__init__()
        self.output = Linear((width, vocab), Parallel.VOCAB, bias=False)

    def forward(self, embedding: Tensor) -> Tensor:
        return self.output.weight


@dataclass(frozen=True)
class UntiedHead(Head):
    """A separate output projection `(vocab, width)`."""

    def build(self, site: BuildContext) -> nn.Module:
        """Return the output projection."""
        return _Untied(site.dims.width, site.arch.table_vocab)
