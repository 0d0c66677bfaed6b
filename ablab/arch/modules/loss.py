"""The training loss at the output head, computed in chunks of tokens so that the full float32
logits are never materialised.

A loss term is a function of each token's log Z (the logsumexp of its logits) and target logit, both
`(tokens,)`, and returns `(tokens,)`. Chunked and vocabulary-parallel heads therefore support every
term. The gradient of a chunk is computed while its logits exist, so the cost is one forward and one
backward pass without recomputation.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ablab.arch.modules.ranks import ALONE, Ranks
from ablab.targets import IGNORED

Term = Callable[[Tensor, Tensor], Tensor]
LossTerms = Sequence[Term]
Project = Callable[[Tensor, Tensor], Tensor]

_LOGITS_PER_CHUNK = 1 << 22
_GPU_FACTOR = 32  # many small kernels would leave a GPU idle


_Settings = tuple[Project, LossTerms, Ranks]


class HeadLoss(NamedTuple):
    """The loss of a batch.

    `total` is the scalar to minimise, a mean over scored tokens. `nll` is the cross entropy of each
    token in nats, `(tokens,)`, zero where the target is ignored, detached. `tokens` is the number
    of scored tokens.
    """

    total: Tensor
    nll: Tensor
    tokens: Tensor


class _Chunk(NamedTuple):
    """The loss summed over the scored tokens of a chunk, the cross entropy of each token
    `(tokens,)`, and the gradient of the summed loss with respect to the logits `(tokens, vocab)`,
    or None.
    """

    loss: Tensor
    nll: Tensor
    grad: Tensor | None


def _log_z_and_target(logits: Tensor, local: Tensor, ranks: Ranks) -> tuple[Tensor, Tensor]:
    """Return log Z and the target logit of each token, both `(tokens,)`, over the logits of all
    ranks.

    `logits` are this rank's `(tokens, vocab)`. `local` is the index of the target among them
    `(tokens, 1)`; it is out of range if the target belongs to another rank.
    """
    if ranks.size == 1:
        return logits.logsumexp(-1), logits.gather(-1, local).squeeze(-1)
    outside = _outside(local, logits)
    target = logits.gather(-1, local.masked_fill(outside, 0)).masked_fill(outside, 0.0).squeeze(-1)
    largest = ranks.largest(logits.amax(-1))
    total, target = ranks.sum(torch.stack(((logits - largest.unsqueeze(-1)).exp().sum(-1), target)))
    return largest + total.log(), target


def _outside(local: Tensor, logits: Tensor) -> Tensor:
    return (local < 0) | (local >= logits.shape[-1])


def _chunk(logits: Tensor, targets: Tensor, settings: "_Settings", *, with_grad: bool) -> _Chunk:
    """Score one chunk: logits `(tokens, vocab)` without a graph, targets `(tokens,)`."""
    _, terms, ranks = settings
    logits = logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits
    local = targets.clamp(min=0).unsqueeze(-1) - ranks.rank * logits.shape[-1]
    scored = (targets != IGNORED).to(logits.dtype)
    log_z, target = _log_z_and_target(logits, local, ranks)
    token_nll = (log_z - target) * scored
    if not with_grad:
        return _Chunk(_summed(log_z, target, scored, terms), token_nll, None)
    if terms:
        with torch.enable_grad():
            loss = _summed(log_z.requires_grad_(), target.requires_grad_(), scored, terms)
        grad_z, grad_target = torch.autograd.grad(loss, (log_z, target))
    else:  # an inner graph would cost more than the loss
        loss, grad_z, grad_target = token_nll.sum(), scored, -scored
    # d log Z / d logits is the softmax; d target / d logits is one at the target.
    grad = (logits - log_z.detach().unsqueeze(-1)).exp_().mul_(grad_z.unsqueeze(-1))
    at_target = grad_target.unsqueeze(-1)
    if ranks.size > 1:
        outside = _outside(local, logits)
        local = local.masked_fill(outside, 0)
        at_target = at_target.masked_fill(outside, 0.0)
    return _Chunk(loss.detach(), token_nll, grad.scatter_add_(-1, local, at_target))


def _summed(log_z: Tensor, target: Tensor, scored: Tensor, terms: LossTerms) -> Tensor:
    """Return the loss with its terms, summed over the scored tokens."""
    return (sum((term(log_z, target) for term in terms), log_z - target) * scored).sum()


class _ChunkedHead(torch.autograd.Function):
    """Map hidden states `(tokens, width)` and the weight `(vocab, width)` to the summed loss and
    the cross entropy of each token `(tokens,)`.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, settings: "_Settings"
    ) -> tuple[Tensor, Tensor]:
        project = settings[0]
        losses: list[Tensor] = []
        nlls: list[Tensor] = []
        grads: list[Tensor] = []
        grad_weight = None
        leaf = weight.detach().requires_grad_()
        for part, t in _chunks(hidden, targets, weight):
            with torch.enable_grad():
                h = part.detach().requires_grad_()
                logits = project(h, leaf)
            chunk = _chunk(logits.detach(), t, settings, with_grad=True)
            assert chunk.grad is not None
            grad_h, grad_w = torch.autograd.grad(logits, (h, leaf), chunk.grad.to(logits.dtype))
            grads.append(grad_h)
            grad_weight = grad_w if grad_weight is None else grad_weight.add_(grad_w)
            losses.append(chunk.loss)
            nlls.append(chunk.nll)
        ctx.save_for_backward(_joined(grads), grad_weight)
        nll = _joined(nlls)
        ctx.mark_non_differentiable(nll)
        return torch.stack(losses).sum(), nll

    @staticmethod
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grads: Any
    ) -> tuple[Tensor, Tensor, None, None]:
        grad_hidden, grad_weight = ctx.saved_tensors
        return grad_hidden * grads[0], grad_weight * grads[0], None, None


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _chunks(hidden: Tensor, targets: Tensor, weight: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    logits = _LOGITS_PER_CHUNK * (_GPU_FACTOR if weight.is_cuda else 1)
    size = max(64, logits // weight.shape[0])
    return zip(hidden.split(size), targets.split(size), strict=True)


def head_loss(
    project: Project,
    inputs: tuple[Tensor, Tensor],
    targets: Tensor,
    terms: LossTerms = (),
    ranks: Ranks = ALONE,
) -> HeadLoss:
    """Return the loss for targets `(tokens,)`; targets of -100 are ignored.

    `project` maps `inputs`, the hidden states `(tokens, width)` and the output weight `(vocab,
    width)`, to logits `(tokens, vocab)`, token by token. `ranks` are the tensor-parallel ranks that
    share the vocabulary, each holding a part of the rows of the weight.
    """
    hidden, weight = inputs
    hidden = ranks.copy_to_region(hidden)
    settings = (project, terms, ranks)
    tokens = (targets != IGNORED).sum()
    if torch.is_grad_enabled() and (hidden.requires_grad or weight.requires_grad):
        sums = _ChunkedHead.apply(hidden, weight, targets, settings)
        total, nll = sums  # pyright: ignore[reportGeneralTypeIssues]
    else:
        chunks = [
            _chunk(project(h, weight), t, settings, with_grad=False)
            for h, t in _chunks(hidden, targets, weight)
        ]
        total = torch.stack([chunk.loss for chunk in chunks]).sum()
        nll = torch.cat([chunk.nll for chunk in chunks])
    return HeadLoss(total / tokens.clamp(min=1), nll, tokens)
