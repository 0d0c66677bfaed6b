"""Matrices and tables whose roles are stated where they are made, and how tensor-parallel ranks
share them.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ablab.arch.modules.ranks import ALONE, Ranks
from ablab.arch.roles import Kind, Parallel, Role


class Linear(nn.Linear):
    """A matrix (out, in) whose role is stated here; its values are drawn by `initialise`, not by
    torch.
    """

    def __init__(
        self, shape: tuple[int, int], parallel: Parallel, bias: bool, *, writes_stream: bool = False
    ) -> None:
        width_in, width_out = shape
        super().__init__(width_in, width_out, bias=bias)
        self.parallel, self.ranks = parallel, ALONE
        # A row-parallel matmul's outputs are partial sums: its bias belongs to all ranks, once.
        bias_cut = Parallel.REPLICATED if parallel is Parallel.ROW else parallel
        self.roles = {
            "weight": Role(Kind.MATRIX, parallel, writes_stream),
            "bias": Role(Kind.BIAS, bias_cut),
        }

    def reset_parameters(self) -> None:
        """Left to `initialise`."""

    def forward(self, input: Tensor) -> Tensor:
        """Input (..., in) -> (..., out); of a row-parallel matrix that is split, the rank's part of
        the sum.
        """
        bias = (
            self.bias
            if self.bias is None or self.parallel is not Parallel.ROW
            else self.ranks.once(self.bias)
        )
        return F.linear(input, self.weight, bias)

    def split(self, ranks: Ranks) -> None:
        """Keeps this rank's part: rows of a column- or vocabulary-parallel matrix, columns of a
        row-parallel one. Raises UserError where the ranks cannot have equal parts.
        """
        self.ranks = ranks
        if self.parallel is Parallel.ROW:
            own = ranks.part(self.in_features, "a matrix's inputs")
            self.weight, self.in_features = _kept(self.weight[:, own]), own.stop - own.start
        elif self.parallel is not Parallel.REPLICATED:
            own = ranks.part(self.out_features, "a matrix's outputs")
            self.weight, self.out_features = _kept(self.weight[own]), own.stop - own.start
            if self.bias is not None:
                self.bias = _kept(self.bias[own])


def fused(x: Tensor, *projections: Linear) -> tuple[Tensor, ...]:
    """The outputs of several projections of x (..., in) as one matmul. Each keeps a weight of its
    own, so that arms share it.
    """
    weights: list[Tensor] = [p.weight for p in projections]
    biases: list[Tensor] = [p.bias for p in projections]
    bias = torch.cat(biases) if projections[0].bias is not None else None
    return F.linear(x, torch.cat(weights), bias).split(
        [p.out_features for p in projections], dim=-1
    )


class Embedding(nn.Module):
    """An embedding table (entries, width)."""

    def __init__(self, entries: int, width: int, parallel: Parallel) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(entries, width))
        self.first, self.ranks = 0, ALONE
        self.roles = {"weight": Role(Kind.EMBEDDING, parallel)}

    def forward(self, index: Tensor) -> Tensor:
        """Index (...) -> (..., width)."""
        if self.ranks is ALONE:
            return F.embedding(index, self.weight)
        own = index - self.first
        elsewhere = (own < 0) | (own >= self.weight.shape[0])
        found = F.embedding(own.masked_fill(elsewhere, 0), self.weight)
        return self.ranks.reduce_from_region(found.masked_fill(elsewhere.unsqueeze(-1), 0.0))

    def split(self, ranks: Ranks) -> None:
        """Keeps this rank's entries. Raises UserError where the ranks cannot have equal parts."""
        own = ranks.part(
            self.weight.shape[0], "the rows of the vocabulary's table (which can be padded)"
        )
        self.weight, self.first, self.ranks = _kept(self.weight[own]), own.start, ranks


def _kept(part: Tensor) -> nn.Parameter:
    return nn.Parameter(part.detach().clone(memory_format=torch.contiguous_format))


def split_linears(module: nn.Module, ranks: Ranks) -> None:
    """Splits every matrix within `module`, for a branch that is elementwise between its column- and
    its row-parallel ones.
    """
    for part in module.modules():
        if isinstance(part, Linear):
            part.split(ranks)


def shared_names(branch: nn.Module) -> list[str]:
    """The weights of a split branch that every rank holds whole and uses for its part alone: a lone
    kv head's, a head norm's.
    """
    of_ranks: set[int] = set()
    for part in branch.modules():
        if isinstance(part, Linear) and part.ranks.size > 1:
            of_ranks |= {id(weight) for weight in part.parameters(recurse=False)}
    return [name for name, weight in branch.named_parameters() if id(weight) not in of_ranks]
