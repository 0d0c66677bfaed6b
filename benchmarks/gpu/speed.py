"""Speed of training steps and of decoding on a GPU."""

from collections.abc import Iterator, Mapping

import torch

from ablab.arch.composition.model import architecture
from ablab.arch.composition.registry import load_registry
from ablab.arch.counting.account import account
from ablab.arch.decoder.decoder import Decoder
from ablab.arch.modules.context import KVCache
from ablab.errors import UserError
from benchmarks.gpu.setting import PeakMemory, Result, Setting, peak_flops
from benchmarks.peers import Peer, Shape, build, ours, plain
from benchmarks.side_by_side import in_turn
from benchmarks.train_step import Step, compiled

GPT2_124M = Shape(12, 768, 12, 1024, 50_304, 16)
MIDDLE = Shape(6, 512, 8, 512, 8192, 16)
WIDTHS = (512, 1024, 2048)
DECODED = 32


def step_of(peer: Peer, shape: Shape, device: str) -> Step:
    """Return a bf16 training step on the device."""
    tokens = torch.randint(0, shape.vocab, (shape.batch, shape.context + 1), device=device)
    peer.model.to(device)
    return Step(peer, tokens, "bf16")


def throughput(setting: Setting) -> Result:
    """Train GPT-2 124M, compiled, in bf16, beside the plain model."""
    shape = setting.shape(GPT2_124M)
    peers = {"ablab gpt2": ours("gpt2", shape), "plain GPT-2": plain(shape, tanh=True)}
    arch = architecture("gpt2", load_registry(()), shape.dims)
    flops = account(arch).flops_per_token.training
    tokens = shape.batch * shape.context
    steps, memory = {}, {}
    for name, peer in peers.items():
        chosen = peer if setting.dry else compiled(peer)
        peak = PeakMemory()
        steps[name] = step_of(chosen, shape, setting.device)
        steps[name]()
        memory[name] = peak.read()
    times = in_turn(steps, setting.rounds, setting.calls)
    most = peak_flops(torch.cuda.get_device_name()) if torch.cuda.is_available() else None
    rows = []
    for name, each in times.items():
        speed = tokens / each.seconds
        utilisation = f"{speed * flops / most:.1%}" if most else "peak unknown"
        share = f"{each.faster_than(times['plain GPT-2']):.3f}"
        rows.append((name, f"{speed:,.0f}", utilisation, share, f"{memory[name] / 2**30:.2f}"))
    return Result(
        ("model", "tokens/s", "FLOPs utilisation", "× plain GPT-2", "peak GiB"),
        rows,
        f"{shape}, bf16{'' if setting.dry else ', compiled'}. FLOPs are those of all matmuls, of "
        "attention those of the pairs that are not masked. The goal is 50 % on an H100 or H200.",
    )


def _applicable(shape: Shape) -> Iterator[str]:
    """Yield the plugins that change GPT-2's architecture alone."""
    registry = load_registry(())
    base = architecture("gpt2", registry, shape.dims)
    for name in sorted(registry.plugins):
        try:
            changed = architecture(f"gpt2 + {name}", registry, shape.dims)
        except UserError:
            continue
        if changed != base:
            yield name


def _steps(arms: Mapping[str, str], shape: Shape, device: str) -> dict[str, Step]:
    return {name: step_of(ours(arm, shape), shape, device) for name, arm in arms.items()}


def plugins(setting: Setting) -> Result:
    """Time a training step of every plugin beside that of GPT-2."""
    shape = setting.shape(MIDDLE)
    rows = []
    for name in _applicable(shape):
        steps = _steps({"gpt2": "gpt2", name: f"gpt2 + {name}"}, shape, setting.device)
        times = in_turn(steps, setting.rounds, setting.calls)
        ratio = 1 / times[name].faster_than(times["gpt2"])
        rows.append((name, f"{1e3 * times[name].seconds:.2f}", f"{ratio:.3f}"))
    return Result(("plugin", "ms", "× GPT-2's time"), rows, f"A training step: {shape}, bf16.")


def parallel_block(setting: Setting) -> Result:
    """Time the parallel block beside the sequential one."""
    rows = []
    for width in WIDTHS[:1] if setting.dry else WIDTHS:
        shape = setting.shape(Shape(4, width, width // 64, 1024, 8192, 8))
        arms = {"sequential": "llama", "parallel": "llama + parallel_block"}
        times = in_turn(_steps(arms, shape, setting.device), setting.rounds, setting.calls)
        faster = times["parallel"].faster_than(times["sequential"])
        milliseconds = (f"{1e3 * times[name].seconds:.2f}" for name in arms)
        rows.append((str(shape.width), *milliseconds, f"{faster:.3f}"))
    return Result(
        ("width", "sequential ms", "parallel ms", "times as fast"),
        rows,
        "A training step of LLaMA, bf16, eager. PaLM (arXiv:2204.02311, section 2) reports about "
        "15 % faster training at large scale.",
    )


class _Decoding:
    """Greedy decoding of a batch behind a prompt."""

    def __init__(self, model: Decoder, prompt: torch.Tensor) -> None:
        self.model = model
        self.prompt = prompt
        self.cache_bytes = 0

    @torch.inference_mode()
    def __call__(self) -> None:
        with torch.autocast(self.prompt.device.type, torch.bfloat16):
            memory = KVCache()
            token = self.model(self.prompt, memory)[:, -1:].argmax(-1)
            for _ in range(DECODED):
                token = self.model(token, memory)[:, -1:].argmax(-1)
        self.cache_bytes = memory.used_bytes()


def decoding(setting: Setting) -> Result:
    """Decode with multi-head, grouped and multi-query attention."""
    arms = {
        "multi-head": "llama",
        "grouped (2)": "llama + gqa(groups=2)",
        "multi-query": "llama + mqa",
    }
    rows = []
    for context in (16,) if setting.dry else (256, 1024, 4096):
        shape = Shape(2, 32, 4, context + DECODED, 300, 2)
        if not setting.dry:
            shape = Shape(12, 768, 12, context + DECODED, 8192, 32)
        prompt = torch.zeros(shape.batch, context, dtype=torch.long, device=setting.device)
        actions = {}
        for name, arm in arms.items():
            model = build(arm, shape).to(setting.device).eval()
            actions[name] = _Decoding(model, prompt)
        times = in_turn(actions, setting.rounds, 1)
        for name, each in times.items():
            speed = shape.batch * DECODED / each.seconds
            faster = each.faster_than(times["multi-head"])
            held = actions[name].cache_bytes / 2**20
            rows.append((str(context), name, f"{speed:,.0f}", f"{faster:.2f}", f"{held:,.1f}"))
    return Result(
        ("context", "attention", "tokens/s", "× multi-head", "cache MiB"),
        rows,
        f"{DECODED} tokens of each sequence, reading the context included; bf16.",
    )
