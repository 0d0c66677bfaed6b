"""Fixtures that the tests share: the registry, a small corpus, and the real command."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ablab.arch.composition.registry import Registry, load_registry
from ablab.data.spec import BpeTokenizer, TextData
from ablab.data.store import TokenStore, prepare
from tests.inprocess import SETTINGS, run_command

SMALL = {"layers": 2, "width": 32, "heads": 2, "vocab": 300, "context": 16}
ROOT = Path(__file__).parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests that run commands as slow."""
    for item in items:
        if {"ablab", "ablab_process"} & {*getattr(item, "fixturenames", ())}:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def registry() -> Registry:
    return load_registry()


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty small files of text with structure that a model can learn."""
    folder = tmp_path_factory.mktemp("corpus")
    for i in range(30):
        lines = [
            f"the {a} of line {j} is {(i * j) % 97}\n"
            for j in range(40)
            for a in ("size", "weight", "name")
        ]
        (folder / f"{i:02}.txt").write_text("".join(lines), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def store(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    data = TextData(
        source="text",
        files=[str(corpus / "*.txt")],
        tokenizer=BpeTokenizer(vocab=300),
        holdout=0.03,
    )
    return prepare(data, tmp_path_factory.mktemp("tokens"))


@pytest.fixture
def ablab(tmp_path: Path):
    """Runs a command in an empty folder, in this process: `ablab("plan", "x.yaml")` gives status,
    stdout and stderr.
    """

    def run(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        return run_command(cwd or tmp_path, *arguments)

    return run


@pytest.fixture
def ablab_process(tmp_path: Path):
    """Runs the command as a process of its own."""

    def run(
        *arguments: object, cwd: Path | None = None, timeout: float = 240
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*arguments),
            cwd=cwd or tmp_path,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=environment(),
            check=False,
        )

    return run


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "ablab.cli.app", *map(str, arguments)]


def environment() -> dict[str, str]:
    return {**os.environ, **SETTINGS}


STUDY = """\
question: Does any of it help?
from: gpt2
to: llama
design: {{kind: leave_one_out}}
model: {{layers: 1, width: 16, heads: 2, context: 16}}
data: {{source: text, files: ["{corpus}/*.txt"], tokenizer: {{kind: bpe, vocab: 300}}}}
budget: {{steps: 4}}
seeds: 2
recipe: {{batch_tokens: 64}}
validate_at: [0.5]
"""


@pytest.fixture
def study_text(corpus: Path) -> str:
    """A small study on the small corpus."""
    return STUDY.format(corpus=corpus)


def results(home: Path):
    """Everything a home knows of its runs' numbers, timings apart."""
    return {
        p.parent.name: (json.loads(p.read_text())["metrics"], losses(p.parent))
        for p in sorted(home.glob("runs/*/result.json"))
    }


def losses(folder: Path):
    rows = [
        json.loads(line)
        for line in (folder / "metrics.jsonl").read_text().splitlines()
        if '"system/' not in line
    ]
    return [
        {k: v for k, v in row.items() if k in ("step", "train/loss", "val/bpb")} for row in rows
    ]
