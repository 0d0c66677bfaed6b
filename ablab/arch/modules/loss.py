"""The training loss at the head, in chunks of tokens, so that the full float32 logits never exist.

A loss term is a function of each token's log Z (the logsumexp of its logits) and target logit, both
(tokens,), and gives (tokens,); so chunked and vocabulary-parallel heads serve all terms. The
gradient of a chunk is taken while its logits are there: the cost is one forward and one backward,
nothing is computed twice.
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


_Settings = tuple[Project, LossTerms, Ranks]


class HeadLoss(NamedTuple):
    """`total`: what is minimised (scalar, mean over the tokens scored). `nll`: summed cross entropy
    in nats, detached. `tokens`: how many were scored.
    """

    total: Tensor
    nll: Tensor
    tokens: Tensor


class _Chunk(NamedTuple):
    """Sums over a chunk's scored tokens, and the gradient of the summed loss at its logits (tokens,
    vocab) or None.
    """

    loss: Tensor
    nll: Tensor
    grad: Tensor | None


def _log_z_and_target(logits: Tensor, own: Tensor, ranks: Ranks) -> tuple[Tensor, Tensor]:
    """Log Z and the target logit of each token (tokens,), over all ranks' logits (tokens, vocab)
    together. `own`: the target's place in this rank's logits (tokens, 1), outside them where it is
    another's.
    """
    if ranks.size == 1:
        return logits.logsumexp(-1), logits.gather(-1, own).squeeze(-1)
    elsewhere = _elsewhere(own, logits)
    target = (
        logits.gather(-1, own.masked_fill(elsewhere, 0)).masked_fill(elsewhere, 0.0).squeeze(-1)
    )
    largest = ranks.largest(logits.amax(-1))
    total, target = ranks.sum(torch.stack(((logits - largest.unsqueeze(-1)).exp().sum(-1), target)))
    return largest + total.log(), target


def _elsewhere(own: Tensor, logits: Tensor) -> Tensor:
    return (own < 0) | (own >= logits.shape[-1])


def _chunk(logits: Tensor, targets: Tensor, settings: "_Settings", *, with_grad: bool) -> _Chunk:
    """Logits (tokens, vocab) without a graph; targets (tokens,)."""
    _, terms, ranks = settings
    logits = logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits
    own = targets.clamp(min=0).unsqueeze(-1) - ranks.rank * logits.shape[-1]
    scored = (targets != IGNORED).to(logits.dtype)
    log_z, target = _log_z_and_target(logits, own, ranks)
    with torch.set_grad_enabled(with_grad):
        log_z, target = log_z.requires_grad_(with_grad), target.requires_grad_(with_grad)
        nll = log_z - target
        loss = (sum((term(log_z, target) for term in terms), nll) * scored).sum()
    nll_sum = (nll.detach() * scored).sum()
    if not with_grad:
        return _Chunk(loss, nll_sum, None)
    grad_z, grad_target = torch.autograd.grad(loss, (log_z, target))
    # d log Z / d logits is the softmax; d target / d logits is one at the target.
    grad = (logits - log_z.detach().unsqueeze(-1)).exp_().mul_(grad_z.unsqueeze(-1))
    at_target = grad_target.unsqueeze(-1)
    if ranks.size > 1:
        elsewhere = _elsewhere(own, logits)
        own, at_target = own.masked_fill(elsewhere, 0), at_target.masked_fill(elsewhere, 0.0)
    return _Chunk(loss.detach(), nll_sum, grad.scatter_add_(-1, own, at_target))


class _ChunkedHead(torch.autograd.Function):
    """(hidden (tokens, width), weight (vocab, width)) -> summed loss, summed cross entropy."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, settings: "_Settings"
    ) -> tuple[Tensor, Tensor]:
        project = settings[0]
        sums: list[tuple[Tensor, Tensor]] = []
        grads: list[Tensor] = []
        grad_weight = torch.zeros_like(weight)
        leaf = weight.detach().requires_grad_()
        for part, t in _chunks(hidden, targets, weight):
            with torch.enable_grad():
                h = part.detach().requires_grad_()
                logits = project(h, leaf)
            chunk = _chunk(logits.detach(), t, settings, with_grad=True)
            assert chunk.grad is not None
            grad_h, grad_w = torch.autograd.grad(logits, (h, leaf), chunk.grad.to(logits.dtype))
            grads.append(grad_h)
            grad_weight += grad_w
            sums.append((chunk.loss, chunk.nll))
        ctx.save_for_backward(torch.cat(grads), grad_weight)
        loss, nll = (torch.stack(part).sum() for part in zip(*sums, strict=True))
        ctx.mark_non_differentiable(nll)
        return loss, nll

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        grad_hidden, grad_weight = ctx.saved_tensors
        return grad_hidden * grads[0], grad_weight * grads[0], None, None


def _chunks(hidden: Tensor, targets: Tensor, weight: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    size = max(64, _LOGITS_PER_CHUNK // weight.shape[0])
    return zip(hidden.split(size), targets.split(size), strict=True)


def head_loss(
    project: Project,
    inputs: tuple[Tensor, Tensor],
    targets: Tensor,
    terms: LossTerms = (),
    ranks: Ranks = ALONE,
) -> HeadLoss:
    """The loss for targets (tokens,), -100 left out. `project`: the `inputs`, hidden (tokens,
    width) and output weight (vocab, width), to logits (tokens, vocab); it acts on each token alone.
    `ranks`: those that share the vocabulary, each with its own rows of the weight.
    """
    hidden, weight = ranks.copy_to_region(inputs[0]), inputs[1]
    settings = (project, terms, ranks)
    tokens = (targets != IGNORED).sum()
    if torch.is_grad_enabled() and (hidden.requires_grad or weight.requires_grad):
        total, nll = _ChunkedHead.apply(hidden, weight, targets, settings)  # pyright: ignore[reportGeneralTypeIssues]
    else:
        chunks = [
            _chunk(project(h, weight), t, settings, with_grad=False)
            for h, t in _chunks(hidden, targets, weight)
        ]
        total, nll = (
            torch.stack([c.loss for c in chunks]).sum(),
            torch.stack([c.nll for c in chunks]).sum(),
        )
    return HeadLoss(total / tokens.clamp(min=1), nll, tokens)
