"""The benchmark of a GPU, at toy size on the CPU."""

import json
import subprocess
import sys

import pytest
import torch

from benchmarks.gpu import __main__ as gpu
from benchmarks.gpu.setting import Result, Setting, Skipped, peak_flops


@pytest.mark.system
def test_every_part_runs_at_toy_size(tmp_path):
    command = [sys.executable, "-m", "benchmarks.gpu", "--dry", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = tmp_path.glob("gpu-*.json")
    results = json.loads(path.read_text())
    assert results["hardware"]["torch"] == torch.__version__
    states = {name: part["state"] for name, part in results["parts"].items()}
    assert states == {name: "skipped" if name == "cuda_graphs" else "ok" for name in gpu.PARTS}
    page = path.with_suffix(".md").read_text()
    assert all(f"## {name}\n" in page for name in gpu.PARTS)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_nothing_is_written(tmp_path, capsys):
    assert gpu.main(["--out", str(tmp_path / "out")]) == 2
    assert "no GPU here" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_part_that_fails_leaves_the_others(monkeypatch, tmp_path, capsys):
    def fails(setting: Setting) -> Result:
        raise ValueError("too\nfar apart")

    def skips(setting: Setting) -> Result:
        raise Skipped("one GPU")

    def works(setting: Setting) -> Result:
        return Result(("a", "b"), [("1", "2")], "Two figures.")

    monkeypatch.setattr(gpu, "PARTS", {"first": fails, "second": skips, "third": works})
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    assert gpu.main(["--dry", "--out", str(tmp_path)]) == 1
    printed = capsys.readouterr().out
    assert "failed: ValueError: too far apart" in printed
    assert "skipped: one GPU" in printed
    (page,) = tmp_path.glob("*.md")
    assert "| a | b |\n| --- | --- |\n| 1 | 2 |" in page.read_text()


def test_no_part_is_begun_after_the_time(monkeypatch, tmp_path):
    monkeypatch.setattr(gpu, "PARTS", {"first": lambda setting: pytest.fail("it was begun")})
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    assert gpu.main(["--dry", "--minutes", "-1", "--out", str(tmp_path)]) == 0
    (path,) = tmp_path.glob("*.json")
    assert json.loads(path.read_text())["parts"]["first"]["state"] == "skipped"


def test_peaks_are_those_of_the_data_sheets():
    assert peak_flops("NVIDIA H200") == 989e12
    assert peak_flops("NVIDIA H100 PCIe") == 756e12
    assert peak_flops("NVIDIA A100-SXM4-80GB") == 312e12
    assert peak_flops("an unknown one") is None
