"""The counter against torch's own, which works every operation out anew."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from ablab.arch.composition.model import architecture
from ablab.arch.composition.registry import load_registry
from ablab.arch.counting import account as accounting
from ablab.arch.counting import counter
from ablab.arch.counting.account import count_flops
from ablab.arch.counting.counter import Counter
from ablab.arch.decoder.decoder import on_meta
from ablab.errors import UserError

pytestmark = pytest.mark.slow

SIZES = {"layers": 3, "width": 32, "heads": 4, "vocab": 300, "context": 16}


class Torchs(FlopCounterMode):
    def __init__(self):
        super().__init__(display=False)

    @property
    def total(self):
        return self.get_total_flops()


@pytest.fixture
def nothing_known(monkeypatch):
    monkeypatch.setattr(counter, "_cache", {})
    return counter._cache


def legal():
    registry = load_registry()
    for name in [
        *registry.families,
        *(f"{end} + {name}" for end in ("gpt2", "llama") for name in registry.plugins),
    ]:
        try:
            yield name, architecture(name, registry, SIZES)
        except UserError:
            continue


def test_all_families_and_plugins_are_charged_what_torch_charges(nothing_known, monkeypatch):
    archs = dict(legal())
    assert len(archs) > 40
    first = {name: count_flops(on_meta(arch)) for name, arch in archs.items()}
    again = {name: count_flops(on_meta(arch)) for name, arch in archs.items()}
    monkeypatch.setattr(accounting, "Counter", Torchs)
    assert first == again == {name: count_flops(on_meta(arch)) for name, arch in archs.items()}


def meta(*shape, dtype=torch.float32):
    return torch.zeros(*shape, dtype=dtype, device="meta")


def test_an_operation_on_known_shapes_is_charged_again_and_looks_the_same(nothing_known):
    with Counter() as counted:
        a = meta(4, 8) @ meta(8, 2)
        b = meta(4, 8) @ meta(8, 2)
        c = meta(4, 8, dtype=torch.bfloat16) @ meta(8, 2, dtype=torch.bfloat16)
        d = meta(4, 8) @ meta(2, 8).T
    assert counted.total == 4 * 2 * 4 * 8 * 2
    assert [x.dtype for x in (a, b, c, d)] == [
        torch.float32,
        torch.float32,
        torch.bfloat16,
        torch.float32,
    ]
    assert a is not b
    assert all(
        (x.shape, x.stride(), x.device) == (a.shape, a.stride(), a.device) for x in (b, c, d)
    )


def test_equal_numbers_of_other_types_are_other_operations(nothing_known):
    x = meta(3, dtype=torch.long)
    with Counter():
        assert [torch.add(x, n).dtype for n in (1, 1.0, True, 1)] == [
            torch.long,
            torch.float32,
            torch.long,
            torch.long,
        ]


def test_a_result_may_depend_on_the_values_of_a_tensor_that_has_some(nothing_known):
    x = meta(3, 2)
    with Counter():
        chosen = [
            x[torch.tensor(mask)].shape[0] for mask in ([True, False, False], [True, True, False])
        ]
    assert chosen == [1, 2]


def test_what_is_written_to_stays_the_same_tensor_and_is_charged(nothing_known):
    out, x = meta(4, 2), meta(4, 2)
    with Counter() as counted:
        for _ in range(2):
            assert torch.mm(meta(4, 8), meta(8, 2), out=out) is out
            assert x.add_(1) is x
            assert x[0]._base is x
    assert counted.total == 2 * 2 * 4 * 8 * 2


def test_an_operation_that_fails_fails_again(nothing_known):
    with Counter():
        for _ in range(2):
            with pytest.raises(RuntimeError, match="reduction dim"):
                torch.mm(meta(4, 8), meta(7, 2))


def test_what_is_remembered_is_bounded(nothing_known, monkeypatch):
    monkeypatch.setattr(counter, "_CACHE_SIZE", 10)
    with Counter() as counted:
        for size in range(1, 40):
            torch.mm(meta(size, 1), meta(1, 1))
            assert len(nothing_known) <= 10
    assert counted.total == sum(2 * size for size in range(1, 40))
