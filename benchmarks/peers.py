"""The architectures of GPT-2 and LLaMA by others, for benchmarks beside the lab's own.

`PlainGpt2` is what nanoGPT trains, written plainly in torch. The others are those of transformers,
litgpt and x-transformers, each of them left out where the package is not installed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import ablab
from ablab.arch.decoder.decoder import Decoder
from ablab.arch.modules.mlp import ff_width

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Shape:
    """The shape of a model and of its batch, in sequences."""

    layers: int
    width: int
    heads: int
    context: int
    vocab: int
    batch: int

    @property
    def hidden(self) -> int:
        """The feed-forward width of LLaMA."""
        return ff_width(self.width, 8 / 3, 256)

    @property
    def dims(self) -> dict[str, Any]:
        """The dimensions of the lab's model."""
        return {
            "layers": self.layers,
            "width": self.width,
            "heads": self.heads,
            "context": self.context,
            "vocab": self.vocab,
        }

    def __str__(self) -> str:
        return (
            f"{self.layers} × {self.width}, {self.heads} heads, T {self.context}, V {self.vocab}, "
            f"batch {self.batch}"
        )


@dataclass(frozen=True)
class Peer:
    """A model and its mean cross entropy of inputs and targets, both `(batch, time)`."""

    model: nn.Module
    loss: Loss

    @property
    def parameters(self) -> int:
        """The number of parameters, shared ones counted once."""
        return sum(parameter.numel() for parameter in self.model.parameters())


class _PlainBlock(nn.Module):
    def __init__(self, shape: Shape, activation: nn.Module) -> None:
        super().__init__()
        width = shape.width
        self.heads = shape.heads
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.activation = activation
        self.down = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, time, width = x.shape
        q, k, v = (
            part.view(batch, time, self.heads, -1).transpose(1, 2)
            for part in self.qkv(self.norm1(x)).split(width, dim=2)
        )
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).contiguous().view(batch, time, width))
        return x + self.down(self.activation(self.up(self.norm2(x))))


class PlainGpt2(nn.Module):
    """GPT-2 as nanoGPT has it: pre-norm, biases, learned positions, tied embeddings, GELU."""

    def __init__(self, shape: Shape, *, tanh: bool) -> None:
        super().__init__()
        activation = nn.GELU(approximate="tanh" if tanh else "none")
        self.tokens = nn.Embedding(shape.vocab, shape.width)
        self.positions = nn.Embedding(shape.context, shape.width)
        self.blocks = nn.ModuleList(_PlainBlock(shape, activation) for _ in range(shape.layers))
        self.norm = nn.LayerNorm(shape.width)
        nn.init.normal_(self.tokens.weight, std=0.02)
        nn.init.normal_(self.positions.weight, std=0.02)

    def forward(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross entropy of targets `(batch, time)` after tokens."""
        places = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.tokens(tokens) + self.positions(places)
        for block in self.blocks:
            x = block(x)
        logits = F.linear(self.norm(x), self.tokens.weight)
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.flatten())


def build(arm: str, shape: Shape) -> Decoder:
    """Return the lab's model of an arm."""
    return ablab.build(arm, **shape.dims)


def ours(arm: str, shape: Shape) -> Peer:
    """Return the lab's model of an arm, and its loss."""
    model = build(arm, shape)
    return Peer(model, lambda tokens, targets: model.loss(tokens, targets).total)


def plain(shape: Shape, *, tanh: bool = False) -> Peer:
    """Return the plain GPT-2."""
    model = PlainGpt2(shape, tanh=tanh)
    return Peer(model, model)


def transformers_gpt2(shape: Shape) -> Peer:
    """Return GPT-2 of transformers, without dropout."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=shape.vocab,
        n_positions=shape.context,
        n_embd=shape.width,
        n_layer=shape.layers,
        n_head=shape.heads,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=None,
        eos_token_id=None,
    )
    return _transformers(GPT2LMHeadModel(config))


def transformers_llama(shape: Shape) -> Peer:
    """Return LLaMA of transformers."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=shape.vocab,
        max_position_embeddings=shape.context,
        hidden_size=shape.width,
        intermediate_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=None,
    )
    return _transformers(LlamaForCausalLM(config))


def _transformers(model: Any) -> Peer:
    model.config.use_cache = False
    return Peer(model, lambda tokens, targets: _cross_entropy(model(tokens).logits, targets))


def litgpt_llama(shape: Shape) -> Peer:
    """Return LLaMA of litgpt."""
    from litgpt.config import Config  # pyright: ignore[reportMissingImports]
    from litgpt.model import GPT  # pyright: ignore[reportMissingImports]

    config = Config(
        block_size=shape.context,
        vocab_size=shape.vocab,
        padded_vocab_size=shape.vocab,
        n_layer=shape.layers,
        n_head=shape.heads,
        n_embd=shape.width,
        rotary_percentage=1.0,
        parallel_residual=False,
        bias=False,
        norm_class_name="RMSNorm",
        mlp_class_name="LLaMAMLP",
        intermediate_size=shape.hidden,
    )
    model = GPT(config)
    return Peer(model, lambda tokens, targets: _cross_entropy(model(tokens), targets))


def x_transformers_llama(shape: Shape) -> Peer:
    """Return the LLaMA of x-transformers, whose norms and feed-forward widths differ a little."""
    import x_transformers  # pyright: ignore[reportMissingImports]

    layers = x_transformers.Decoder(
        dim=shape.width,
        depth=shape.layers,
        heads=shape.heads,
        attn_dim_head=shape.width // shape.heads,
        rotary_pos_emb=True,
        rotary_emb_dim=shape.width // shape.heads,
        use_rmsnorm=True,
        ff_glu=True,
        ff_swish=True,
        ff_no_bias=True,
        ff_mult=shape.hidden / shape.width,
        attn_flash=True,
    )
    model = x_transformers.TransformerWrapper(
        num_tokens=shape.vocab,
        max_seq_len=shape.context,
        use_abs_pos_emb=False,
        attn_layers=layers,
    )
    return Peer(model, lambda tokens, targets: _cross_entropy(model(tokens), targets))


def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


# The package of each, and how to build it.
_LIBRARIES: dict[str, tuple[str, Callable[[Shape], Peer]]] = {
    "transformers GPT-2": ("transformers", transformers_gpt2),
    "transformers LLaMA": ("transformers", transformers_llama),
    "litgpt LLaMA": ("litgpt", litgpt_llama),
    "x-transformers LLaMA": ("x_transformers", x_transformers_llama),
}


def installed() -> dict[str, Callable[[Shape], Peer]]:
    """Return the models of other libraries whose package is installed, by name."""
    return {name: make for name, (package, make) in _LIBRARIES.items() if find_spec(package)}
