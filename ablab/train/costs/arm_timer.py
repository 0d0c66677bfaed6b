"""The time of training steps and of decoding, of one model."""

from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from time import perf_counter

import torch
from torch import Tensor
from torch.optim import Optimizer

from ablab.arch.composition.compose import Composite
from ablab.arch.decoder.build import build_model
from ablab.data.batches import Batches, Sequences
from ablab.data.store import TokenStore
from ablab.train.budget import TokenProgress
from ablab.train.costs.decoding import decode_speed, synchronise
from ablab.train.costs.eager import uncompiled
from ablab.train.module import TrainedDecoder
from ablab.train.numerics import resolve_precision
from ablab.train.result import ArmTime

_DECODING_SHARE = 0.4  # of a turn
_TIMED_STEPS = 3  # at least
_WARM_UP_STEPS = 2  # they bring weights and optimizer state back into the caches
MIN_STEPS = _WARM_UP_STEPS + _TIMED_STEPS
"""Training steps of the shortest turn."""


class ArmTimer:
    """Times training steps and decoding of one arm in turns.

    The model lies on the CPU between turns, and only its own turn's optimizer state exists. Steps
    are those of the recipe on its largest batch, at a learning rate of zero: the time does not
    depend on it, and the weights stay finite however many steps are timed.
    """

    def __init__(
        self, value: Composite, store: TokenStore, batch: int, *, seed: int, compile: bool
    ) -> None:
        model = build_model(value.arch, seed)
        self._precision = resolve_precision(value.recipe.precision)
        model = model.double() if self._precision == "fp64" else model
        sequences = Sequences(store.sampled_tokens("train"), value.arch.dims.context, seed)
        progress = TokenProgress(Batches(((batch, 1),)), ())
        self._module = TrainedDecoder(model, value.recipe, progress, sequences)
        self._batch = sequences.__getitems__(range(batch))  # (sequences, context + 1)
        self._parts = 1
        if compile:
            for block in model.blocks:
                block.compile()

    def take_turn(self, seconds: float) -> ArmTime:
        """Time steps and decoding for about `seconds`, at least a few of each."""
        with self._on_device() as (optimizer, batch):
            step = median(self._steps(optimizer, batch, (1 - _DECODING_SHARE) * seconds))
            speed = self._decode(batch, _DECODING_SHARE * seconds)
        return ArmTime(step / (self._batch.numel() - len(self._batch)), speed)

    @contextmanager
    def _on_device(self) -> Iterator[tuple[Optimizer, Tensor]]:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._module.to(device)
        optimizer = self._module.configure_optimizers()
        for group in optimizer.param_groups:
            group["lr"] = 0.0
        try:
            yield optimizer, self._batch.to(device)
        finally:
            optimizer.zero_grad()
            self._module.to("cpu")

    def _steps(self, optimizer: Optimizer, batch: Tensor, seconds: float) -> list[float]:
        """Return the seconds of each step."""
        self._module.model.train()
        for _ in range(_WARM_UP_STEPS):
            self._fitting_step(optimizer, batch)
        times: list[float] = []
        begin = perf_counter()
        while len(times) < _TIMED_STEPS or perf_counter() - begin < seconds:
            synchronise()
            start = perf_counter()
            self._step(optimizer, batch)
            synchronise()
            times.append(perf_counter() - start)
        return times

    def _fitting_step(self, optimizer: Optimizer, batch: Tensor) -> None:
        """Take a step in as many micro-batches as fit into memory."""
        while True:
            try:
                return self._step(optimizer, batch)
            except torch.OutOfMemoryError:
                if self._parts >= len(batch):
                    raise
                self._parts *= 2
                optimizer.zero_grad()
                torch.cuda.empty_cache()

    def _step(self, optimizer: Optimizer, batch: Tensor) -> None:
        optimizer.zero_grad()
        for part in batch.tensor_split(min(self._parts, len(batch))):
            with self._autocast(batch):
                loss = self._module.model.loss(part[:, :-1], part[:, 1:], self._module.terms).total
            (loss * (len(part) / len(batch))).backward()
        self._module.clip(optimizer)
        optimizer.step()

    def _decode(self, batch: Tensor, seconds: float) -> float | None:
        model = self._module.model.eval()
        try:
            with self._autocast(batch), uncompiled(model):
                return decode_speed(model, batch[0, :-1], seconds)
        except Exception:  # whatever a plugin's module raises
            return None

    def _autocast(self, batch: Tensor) -> torch.autocast:
        return torch.autocast(batch.device.type, torch.bfloat16, enabled=self._precision == "bf16")
