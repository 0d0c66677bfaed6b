"""One run with the real Lightning trainer."""

import math
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import ablab
from ablab.arch.composition.model import architecture
from ablab.arch.counting.account import account
from ablab.arch.decoder.decoder import Decoder
from ablab.arch.recipe import AdamW, Cosine, Recipe
from ablab.data.batches import Batches, Sequences
from ablab.process_state import seed_everything
from ablab.train import run as training
from ablab.train.checkpoints import save_checkpoint
from ablab.train.job import Job
from ablab.train.module import TrainedDecoder
from ablab.train.numerics import NUMERICS_VERSION
from ablab.train.recorder import Hooks
from ablab.train.run import train
from ablab.train.window_scores import WindowScores

DIMS = {"layers": 1, "width": 16, "heads": 2, "vocab": 300, "context": 16}


@pytest.fixture
def job(registry, store, tmp_path):
    arch = architecture("llama", registry, DIMS)
    recipe = Recipe(batch_tokens=64, lr=3e-3, precision="fp32")
    flops = account(arch).flops_per_token.training
    return Job(
        arch,
        recipe,
        store,
        Batches(((4, 12),)),
        seed=1,
        flops_per_token=flops,
        folder=tmp_path,
        validate_at=(0.5,),
    )


class Watch:
    """Hooks that remember; `stop_after`: how many times `stop` says no."""

    def __init__(self, stop_after=math.inf):
        self.rows, self.asked, self.stop_after, self.resumed = [], 0, stop_after, []

    def hooks(self):
        return Hooks(
            log=self._log,
            stop=self._stop,
            beat=lambda share, metrics: None,
            resumed=self.resumed.append,
        )

    def _log(self, step, metrics):
        self.rows.append((step, dict(metrics)))

    def _stop(self):
        self.asked += 1
        return self.asked > self.stop_after


def finished(job, watch=None):
    result = train(job, (watch or Watch()).hooks()).result
    assert result is not None
    return result


def plain_loop(job):
    """The same run as a bare loop: what Lightning is held to."""
    model = ablab.build("llama", seed=job.seed, **DIMS)
    decayed = [p for p in model.parameters() if p.ndim == 2]
    rest = [p for p in model.parameters() if p.ndim != 2]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1.0, betas=(0.9, 0.95), eps=1e-8, fused=True)
    sequences = Sequences(job.store.tokens("train"), 16, job.seed)
    losses = []
    for step in range(job.steps):
        share = (step + 1) / job.steps
        warm = share / 0.05 if share < 0.05 else None
        cosine = 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * (share - 0.05) / 0.95))
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * (cosine if warm is None else warm)
        batch = torch.stack([sequences[4 * step + i] for i in range(4)])
        loss = torch.nn.functional.cross_entropy(
            model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten()
        )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_the_trainer_does_what_a_bare_loop_does(job):
    watch = Watch()
    finished(job, watch)
    losses = [row["train/loss"] for _, row in watch.rows if "train/loss" in row]
    assert losses == pytest.approx(plain_loop(job), rel=1e-5)


def test_what_a_run_reports(job, registry):
    watch = Watch()
    result = finished(job, watch)
    cost, metrics = result.cost, result.metrics
    assert result.steps == 12
    assert cost.tokens == 12 * 64
    assert cost.flops == pytest.approx(12 * 64 * account(job.arch).flops_per_token.training)
    assert cost.tokens_per_second == pytest.approx(cost.tokens / cost.seconds)
    assert cost.peak_memory_bytes > 16 * cost.parameters
    assert cost.parameters == account(job.arch).parameters.total
    assert result.precision == "fp32"
    assert not result.diverged
    assert metrics["val/bpb"] < math.log2(300)
    validations = [(step, row) for step, row in watch.rows if "val/bpb" in row]
    assert [step for step, _ in validations] == [6]


def test_bits_per_byte_is_the_cost_of_the_validation_text(job):
    """Scored again by hand: every token but the end-of-text ones, window by window."""
    result = finished(job)
    model = ablab.build("llama", **DIMS)
    model.load_state_dict(load_file(job.folder / "model.safetensors"))
    tokens = torch.from_numpy(job.store.tokens("val").astype("int64"))
    nats, count = [], 0
    with torch.no_grad():
        for start in range(0, len(tokens) - 1, 16):
            piece = tokens[start : start + 17]
            logs = model(piece[None, :-1])[0].log_softmax(-1)
            if start == 0:
                nats.append(0.0)  # the first end-of-text token is no target
            for position, target in enumerate(piece[1:].tolist()):
                if target == job.store.end_of_text:
                    nats.append(0.0)
                else:
                    nats[-1] -= logs[position, target].item()
                    count += 1
    assert result.metrics["val/loss"] == pytest.approx(sum(nats) / count, rel=1e-5)
    split = job.store.splits["val"]
    assert result.metrics["val/bpb"] == pytest.approx(
        sum(nats) / math.log(2) / split.bytes, rel=1e-5
    )
    windows = WindowScores.read(job.folder / "val_windows.npz")
    assert windows is not None
    assert windows.nll == pytest.approx(nats, rel=1e-5)
    assert list(zip(windows.document.tolist(), windows.bytes.tolist(), strict=True)) == list(
        split.windows
    )
    assert windows.tokens.sum() == count
    assert len(nats) > split.documents


def test_scores_by_window_are_none_where_there_are_none(tmp_path):
    assert WindowScores.read(tmp_path / "val_windows.npz") is None
    (tmp_path / "val_windows.npz").write_bytes(b"cut off")
    assert WindowScores.read(tmp_path / "val_windows.npz") is None


def test_splits_that_are_not_scored_are_not_in_the_result(job):
    metrics = finished(replace(job, scored_splits=("val",))).metrics
    assert set(metrics) == {"train/loss", "val/loss", "val/bpb"}


@pytest.mark.parametrize("stop_after", [0, 1])
def test_a_run_that_was_stopped_goes_on_to_the_same_numbers(job, tmp_path, stop_after, monkeypatch):
    monkeypatch.setattr("ablab.train.recorder.BEAT_SECONDS", 0.0)
    whole = Watch()
    expected = finished(job, whole)
    (tmp_path / "cut").mkdir()
    cut = replace(job, folder=tmp_path / "cut")
    first, second = Watch(stop_after=3 + stop_after), Watch()
    outcome = train(cut, first.hooks())
    assert outcome.result is None
    assert cut.checkpoint.exists()
    assert finished(cut, second).metrics == expected.metrics
    assert second.resumed == [4 + stop_after]
    values = {
        step: row["train/loss"] for step, row in [*first.rows, *second.rows] if "train/loss" in row
    }
    assert values == {step: row["train/loss"] for step, row in whole.rows if "train/loss" in row}


def test_numbers_that_a_model_draws_from_python_and_numpy_go_on_too(job, tmp_path, monkeypatch):
    hidden = Decoder.hidden

    def noisy(self, tokens, flow):
        return hidden(self, tokens, flow) * (0.9 + 0.1 * random.random() + 0.1 * np.random.rand())

    monkeypatch.setattr(Decoder, "hidden", noisy)
    monkeypatch.setattr("ablab.train.recorder.BEAT_SECONDS", 0.0)
    seed_everything(job.seed)
    expected = finished(job)
    (tmp_path / "cut").mkdir()
    cut = replace(job, folder=tmp_path / "cut")
    seed_everything(job.seed)
    assert train(cut, Watch(stop_after=4).hooks()).result is None
    seed_everything(job.seed)  # as another worker, which begins anew
    assert finished(cut).metrics == expected.metrics


def test_a_run_that_is_resumed_on_another_processor_records_both(job, monkeypatch):
    from ablab.train import module

    monkeypatch.setattr(module, "processor", lambda: "a 486")
    assert train(job, Watch(stop_after=3).hooks()).result is None
    monkeypatch.setattr(module, "processor", lambda: "a Pentium")
    assert finished(job).processors == ("a 486", "a Pentium")


def test_a_trained_model_is_scored_where_it_was_trained(job, monkeypatch):
    """Lightning moves it to the CPU at its end. NCCL sums nothing there, and a GPU's run would be
    scored slowly.
    """
    calls: list[str] = []

    def noted(owner, name):
        whole = getattr(owner, name)

        def call(*arguments):
            calls.append(f"{name} {arguments[1]}" if name == "to" else name)
            return whole(*arguments)

        monkeypatch.setattr(owner, name, call)

    noted(TrainedDecoder, "cpu")
    noted(TrainedDecoder, "to")
    noted(training, "score")
    finished(job)
    place = "cuda:0" if torch.cuda.is_available() else "cpu"
    assert calls[calls.index("cpu") :] == ["cpu", f"to {place}", "score", "score"]


def test_checkpoints_run_no_code(job, monkeypatch):
    monkeypatch.setattr("ablab.train.recorder.BEAT_SECONDS", 0.0)
    train(job, Watch(stop_after=3).hooks())
    content = torch.load(job.checkpoint, weights_only=True)
    assert content["global_step"] == 4


def test_a_checkpoint_that_cannot_be_written_is_loud(job):
    with pytest.raises(OSError, match="No such file"):
        save_checkpoint({"global_step": 1}, job.folder / "nowhere" / "x.ckpt", rows=0)


def test_divergence_is_a_result(job):
    result = finished(replace(job, recipe=replace(job.recipe, lr=1e6, clip=0.0, warmup=0.0)))
    assert result.diverged


def test_seeds_change_the_run_and_nothing_else_does(job, tmp_path):
    first = finished(job).metrics
    assert finished(job).metrics == first
    assert finished(replace(job, seed=2)).metrics != first


def test_the_schedule():
    recipe = Recipe(lr=1.0, warmup=0.1, schedule=Cosine(0.1))
    assert [recipe.lr_at(s) for s in (0.05, 0.1, 0.55, 1.0)] == pytest.approx([0.5, 1.0, 0.55, 0.1])
    assert Recipe(lr=1.0, warmup=0.0).lr_at(0.0) == 1.0


def test_golden_losses(job):
    """These change when the core's numbers change: raise NUMERICS_VERSION then, so that finished
    runs are trained anew.
    """
    watch = Watch()
    finished(replace(job, recipe=replace(job.recipe, optimizer=AdamW())), watch)
    losses = [row["train/loss"] for _, row in watch.rows if "train/loss" in row]
    assert NUMERICS_VERSION == 2
    assert losses[::4] == pytest.approx(GOLDEN, rel=1e-4)


GOLDEN = [5.693986, 5.503720, 5.397406]
