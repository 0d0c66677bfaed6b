"""Whether a GPU computes what a CPU does."""

from copy import deepcopy

import torch
from torch import Tensor

from ablab.arch.decoder.decoder import Decoder
from benchmarks.gpu.setting import Result, Setting
from benchmarks.peers import Peer, Shape, build
from benchmarks.train_step import Step

STEPS = 20
# Largest difference of a loss, relative to the CPU's in float64.
LIMITS = {"fp32": 1e-3, "bf16": 3e-2}


def losses(model: Decoder, batches: Tensor, precision: str) -> Tensor:
    """Return the losses of training steps on `batches` (steps, sequences, context + 1), which lie
    on the device of the model.
    """
    step = Step(
        Peer(model, lambda tokens, targets: model.loss(tokens, targets).total),
        batches[0],
        precision,
    )
    found = []
    for batch in batches:
        step.inputs, step.targets = batch[:, :-1], batch[:, 1:]
        found.append(step().detach())
    return torch.stack(found).double().cpu()


def equality(setting: Setting) -> Result:
    """Compare the losses of 20 steps in float64 on the CPU with those of the device in float32 and
    in bf16. Raises ValueError if they differ by more than rounding explains.
    """
    shape = setting.shape(Shape(3, 96, 4, 128, 1024, 4))
    batches = torch.randint(0, shape.vocab, (STEPS, shape.batch, shape.context + 1))
    rows = []
    for arm in ("gpt2", "llama"):
        model = build(arm, shape)
        exact = losses(deepcopy(model).double(), batches, "fp64")
        for precision, limit in LIMITS.items():
            there = deepcopy(model).to(setting.device)
            found = losses(there, batches.to(setting.device), precision)
            difference = float(((found - exact) / exact).abs().max())
            if not difference <= limit:
                raise ValueError(f"{arm} in {precision}: {difference:.2g}, over {limit:g}")
            rows.append((arm, precision, f"{difference:.1e}", f"{limit:g}"))
    return Result(
        ("arm", "precision", "largest difference", "limit"),
        rows,
        f"Losses of {STEPS} training steps, relative to the CPU's in float64.",
    )
