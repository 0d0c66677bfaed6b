"""Arms that cannot be judged are found before they are trained."""

import re

import pytest

from ablab.arch.checks import fault
from ablab.arch.composition.compose import Composite
from ablab.arch.composition.model import architecture, composite
from ablab.arch.composition.registry import load_registry
from ablab.design.build import lay_out
from ablab.spec.study import load_study
from tests.conftest import ROOT, SMALL

PLUGIN = '''
"""Feed-forwards and a mixer with a fault."""

from dataclasses import dataclass

import torch
from torch import nn

from ablab.plugin import Branch, Edit, Kind, PlainMlp, Role, SelfAttention, plugin


class Faulty(nn.Module):
    roles = {"extra": Role(Kind.GAIN)}

    def __init__(self, inner, width, kind):
        super().__init__()
        self.inner, self.kind = inner, kind
        self.norm = nn.BatchNorm1d(width, affine=False) if kind == "batch_norm" else None
        if kind == "unused":
            self.extra = nn.Parameter(torch.empty(width))

    def forward(self, x):
        y = self.inner(x)
        if self.kind == "future":
            return y + 0.5 * torch.cat([x[:, 1:], x[:, -1:]], dim=1)
        if self.kind == "batch_norm":
            return self.norm(y.transpose(1, 2)).transpose(1, 2)
        if self.kind == "expert_choice":  # the experts choose among the tokens of the whole batch
            scores = x.mean(-1).flatten()
            chosen = torch.zeros_like(scores)
            chosen[scores.topk(len(scores) // 2).indices] = 1.0
            return y * chosen.view(x.shape[0], x.shape[1], 1)
        if self.kind == "other_sequences":
            return y + x.mean(0, keepdim=True)
        if self.kind == "shape":
            return y[..., :-1]
        if self.kind == "float32":
            return y.float().sin()
        if self.kind == "only_float32" and x.dtype != torch.float32:
            raise TypeError("float32 alone")
        if self.kind == "dropout":
            return nn.functional.dropout(y, 0.3, self.training)
        return y


@dataclass(frozen=True)
class FaultyBranch(Branch):
    kind: str

    def build(self, site):
        return Faulty(PlainMlp().build(site), site.dims.width, self.kind)


@plugin(source="a test")
class FaultyMlp:
    """A feed-forward with a fault."""
    kind: str

    def edit(self) -> Edit:
        return {"mlp": FaultyBranch(self.kind)}
'''


@pytest.fixture(scope="module")
def arch(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "faulty_mlp.py").write_text(PLUGIN)
    registry = load_registry([folder])
    return lambda kind: architecture(f"gpt2 + faulty_mlp(kind={kind})", registry, SMALL)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("future", "token 1 changes an earlier logit"),
        ("batch_norm", "token 1 changes an earlier logit"),
        ("expert_choice", r"token \d+ changes an earlier logit"),
        ("other_sequences", "the logits of a sequence depend on the others of its batch"),
        ("unused", r"blocks\.0\.mlp\.extra gets no gradient"),
    ],
)
def test_an_arm_that_cannot_be_judged_is_found(arch, kind, message):
    assert re.fullmatch(message, fault(arch(kind)))


def test_a_module_that_does_not_fit_raises(arch):
    with pytest.raises(RuntimeError):
        fault(arch("shape"))


@pytest.mark.parametrize("kind", ["plain", "float32", "only_float32", "dropout"])
def test_a_sound_arm_passes(arch, kind):
    assert fault(arch(kind)) == ""


@pytest.mark.slow
@pytest.mark.parametrize("file", sorted((ROOT / "studies").glob("*.yaml")), ids=lambda f: f.stem)
def test_the_arms_of_every_study_pass(file, registry):
    study, document = load_study(file, None, [])
    layout = lay_out(study, registry, document)
    for model in layout.arms.values():
        assert fault(composite(model, Composite(), {}).arch) == "", model.expression
