"""The conformance suite finds what is wrong: weights that take no part in the loss."""

import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from ablab.arch.composition.model import architecture
from ablab.arch.composition.registry import load_registry
from ablab.testing import SMALL, Conformance, check_gradients, checks
from tests.conftest import ROOT, environment

LOOSE = '''"""Feed-forwards with a weight that does something, or nothing."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from ablab.plugin import Branch, Edit, Kind, PlainMlp, Role, plugin


class Odd(nn.Module):
    roles = {"extra": Role(Kind.GAIN)}

    def __init__(self, inner, width, kind):
        super().__init__()
        self.inner, self.kind = inner, kind
        self.extra = nn.Parameter(torch.empty(width))

    def forward(self, x):
        y = self.inner(x)
        if self.kind == "used":
            return y * self.extra
        if self.kind == "zero":
            return y + 0 * self.extra
        if self.kind == "rounding":
            shifted = y + self.extra.sum()
            return y + shifted - shifted.mean(-1, keepdim=True) - (y - y.mean(-1, keepdim=True))
        if self.kind == "infinite":
            return y + (self.extra - self.extra).sqrt()
        if self.kind == "seldom":  # for the few tokens whose first channel is large
            return y + self.extra * (x[..., :1] > x[..., :1].new_tensor(2.0)) * x
        return y


@dataclass(frozen=True)
class OddBranch(Branch):
    kind: str

    def build(self, site):
        return Odd(PlainMlp().build(site), site.dims.width, self.kind)


@plugin(source="a test")
class OddMlp:
    """A feed-forward with one weight more."""

    kind: Literal["used", "zero", "rounding", "infinite", "unused", "seldom"]

    def edit(self) -> Edit:
        return {"mlp": OddBranch(self.kind)}
'''


@pytest.fixture
def arch(tmp_path):
    (tmp_path / "odd_mlp.py").write_text(LOOSE)
    registry = load_registry([tmp_path])
    return lambda kind: architecture(f"gpt2 + odd_mlp(kind={kind})", registry, SMALL)


@pytest.mark.parametrize("kind", ["used", "seldom"])
def test_a_weight_that_takes_part_has_a_gradient(arch, kind):
    check_gradients(arch(kind))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("zero", r"the gradient of blocks\.0\.mlp\.extra is zero"),
        ("rounding", r"the gradient of blocks\.0\.mlp\.extra is zero"),
        ("unused", r"blocks\.0\.mlp\.extra gets no gradient"),
        ("infinite", r"the gradient of blocks\.0\.mlp\.extra is not finite"),
    ],
)
def test_a_weight_that_takes_no_part_is_found(arch, kind, message):
    with pytest.raises(AssertionError, match=message):
        check_gradients(arch(kind))


def test_unless_it_is_named(arch, tmp_path):
    check_gradients(arch("zero"), ["*.mlp.extra"])
    with pytest.raises(AssertionError, match="is zero"):
        check_gradients(arch("zero"), ["*.mixer.extra"])

    class TestOdd(Conformance):
        expression = "gpt2 + odd_mlp(kind=zero)"
        plugins = (tmp_path,)
        without_gradient = ("*.mlp.extra",)

    (gradients,) = (c for c in checks(TestOdd.without_gradient) if c.name == "gradients")
    TestOdd().test_conforms(gradients)


MINE = """from ablab.plugin import Edit, RmsNorm, plugin


@plugin(source="a test")
class Mine:
    \"\"\"RMSNorm for LayerNorm.\"\"\"

    def edit(self) -> Edit:
        return {"norm": RmsNorm()}
"""


def _pytest(folder: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    options = ["-q", "-W", "error", "-p", "no:cacheprovider"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(folder)],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_the_printed_lines_hold_a_loose_file_to_the_suite(tmp_path):
    guide = (ROOT / "CONTRIBUTING.md").read_text()
    lines = re.search(r"(?m)^    from ablab\.testing import.*\n(?:(?:    .*)?\n)+", guide)
    assert lines is not None
    ideas = tmp_path / "ideas"
    ideas.mkdir()
    (ideas / "mine.py").write_text(MINE)
    (ideas / "test_mine.py").write_text(dedent(lines[0]))
    result = _pytest(ideas, tmp_path)
    assert result.returncode == 0, result.stdout
    assert "6 passed" in result.stdout

    (ideas / "mine.py").unlink()
    result = _pytest(ideas, tmp_path)
    assert "no plugin named 'mine'" in result.stdout
