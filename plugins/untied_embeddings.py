"""Untied embeddings (LLaMA)."""

from dataclasses import dataclass

from torch import Tensor, nn

from ablab.plugin import Edit, Head, Linear, Parallel, Site, plugin


class _Projection(nn.Module):
    def __init__(self, width: int, vocab: int) -> None:
        super().__init__()
        self.output = Linear((width, vocab), Parallel.VOCAB, bias=False)

    def forward(self, embedding: Tensor) -> Tensor:
        return self.output.weight


@dataclass(frozen=True)
class UntiedHead(Head):
    """An output projection of its own, (vocab, width)."""

    def build(self, site: Site) -> nn.Module:
        """The projection."""
        return _Projection(site.dims.width, site.arch.table_vocab)


@plugin(source="Touvron et al. 2023 (LLaMA), arXiv:2302.13971")
class UntiedEmbeddings:
    """Untied embeddings: the output projection has a weight of its own in place of the embedding table."""

    def edit(self) -> Edit:
        """Writes the head."""
        return {"head": UntiedHead()}
