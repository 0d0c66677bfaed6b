"""Linear maps and embedding tables that declare the roles of their weights and can be split over
tensor-parallel ranks.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ablab.arch.modules.ranks import ALONE, Ranks
from ablab.arch.roles import Kind, Parallel, Role


class Linear(nn.Linear):
    """A linear map with weight `(out, in)` and declared roles. Its values are set by `initialise`,
    not by torch.
    """

    def __init__(
        self, shape: tuple[int, int], parallel: Parallel, bias: bool, *, writes_stream: bool = False
    ) -> None:
        width_in, width_out = shape
        super().__init__(width_in, width_out, bias=bias)
        self.parallel = parallel
        self.ranks = ALONE
        # A row-parallel matmul's outputs are partial sums: its bias belongs to all ranks, once.
        bias_cut = Parallel.REPLICATED if parallel is Parallel.ROW else parallel
        self.roles = {
            "weight": Role(Kind.MATRIX, parallel, writes_stream),
            "bias": Role(Kind.BIAS, bias_cut),
        }

    def reset_parameters(self) -> None:
        """Do nothing: `initialise` sets the values."""

    def forward(self, input: Tensor) -> Tensor:
        """Map `(..., in)` to `(..., out)`. A row-parallel map that is split returns this rank's
        partial sum.
        """
        bias = self.bias
        if bias is not None and self.parallel is Parallel.ROW:
            bias = self.ranks.once(bias)
        return F.linear(input, self.weight, bias)

    def split(self, ranks: Ranks) -> None:
        """Keep this rank's part: rows of a column- or vocabulary-parallel matrix, columns of a
        row-parallel one.

        Raises UserError if the matrix cannot be divided equally.
        """
        self.ranks = ranks
        if self.parallel is Parallel.ROW:
            columns = ranks.part(self.in_features, "a matrix's inputs")
            self.weight = _parameter(self.weight[:, columns])
            self.in_features = columns.stop - columns.start
        elif self.parallel is not Parallel.REPLICATED:
            rows = ranks.part(self.out_features, "a matrix's outputs")
            self.weight = _parameter(self.weight[rows])
            self.out_features = rows.stop - rows.start
            if self.bias is not None:
                self.bias = _parameter(self.bias[rows])


def fused(x: Tensor, *projections: Linear) -> tuple[Tensor, ...]:
    """Apply several projections to x `(..., time, in)`, in one matmul where it pays.

    The projections keep separate weights, so that arms with different projections share initial
    values. In a decoding step, joining the weights would cost more than one matmul saves.
    """
    if x.shape[-2:-1] == (1,) and not torch.is_grad_enabled():
        return tuple(F.linear(x, p.weight, p.bias) for p in projections)
    weights: list[Tensor] = [p.weight for p in projections]
    biases: list[Tensor] = [p.bias for p in projections]
    bias = torch.cat(biases) if projections[0].bias is not None else None
    return F.linear(x, torch.cat(weights), bias).split(
        [p.out_features for p in projections], dim=-1
    )


class Embedding(nn.Module):
    """An embedding table `(entries, width)`."""

    def __init__(self, entries: int, width: int, parallel: Parallel) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(entries, width))
        self.first = 0  # the index of this rank's first entry
        self.ranks = ALONE
        self.roles = {"weight": Role(Kind.EMBEDDING, parallel)}

    def forward(self, index: Tensor) -> Tensor:
        """Map indices `(...)` to vectors `(..., width)`."""
        if self.ranks is ALONE:
            return F.embedding(index, self.weight)
        local = index - self.first
        outside = (local < 0) | (local >= self.weight.shape[0])
        vectors = F.embedding(local.masked_fill(outside, 0), self.weight)
        return self.ranks.reduce_from_region(vectors.masked_fill(outside.unsqueeze(-1), 0.0))

    def split(self, ranks: Ranks) -> None:
        """Keep this rank's entries. Raises UserError if the table cannot be divided equally."""
        rows = ranks.part(
            self.weight.shape[0], "the rows of the vocabulary's table (which can be padded)"
        )
        self.weight = _parameter(self.weight[rows])
        self.first = rows.start
        self.ranks = ranks


def _parameter(part: Tensor) -> nn.Parameter:
    return nn.Parameter(part.detach().clone(memory_format=torch.contiguous_format))


def split_linears(module: nn.Module, ranks: Ranks) -> None:
    """Split every `Linear` within `module`. The branch must be elementwise between its column- and
    row-parallel matrices.
    """
    for part in module.modules():
        if isinstance(part, Linear):
            part.split(ranks)


def shared_names(branch: nn.Module) -> list[str]:
    """Return the weights of a split branch that every rank holds whole but uses only for its own
    part, such as a single kv head or the norm of a head.
    """
    of_ranks: set[int] = set()
    for part in branch.modules():
        if isinstance(part, Linear) and part.ranks.size > 1:
            of_ranks |= {id(weight) for weight in part.parameters(recurse=False)}
    return [name for name, weight in branch.named_parameters() if id(weight) not in of_ranks]
