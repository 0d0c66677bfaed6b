"""What a decoding cache holds, and how much memory that takes."""

import pytest
import torch

import ablab
from ablab.arch.modules.context import KVCache

DIMS = {"layers": 1, "width": 16, "heads": 4, "vocab": 30, "context": 2100}
FLOAT32 = 4


@pytest.mark.parametrize(("terms", "cut"), [("+ mqa", 4), ("+ gqa(groups=2)", 2), ("", 1)])
def test_it_holds_kv_heads_only(terms, cut):
    model, memory = ablab.build(f"gpt2 {terms}", **DIMS).eval(), KVCache()
    with torch.no_grad():
        model(torch.zeros(3, 7, dtype=torch.long), memory)
    assert memory.numel() == 3 * 7 * 2 * 16 // cut


def test_it_holds_the_band_only():
    model, memory = ablab.build("gpt2 + sliding_window(band=4)", **DIMS).eval(), KVCache()
    with torch.no_grad():
        for _ in range(9):
            model(torch.zeros(1, 1, dtype=torch.long), memory)
    assert memory.numel() == (4 - 1) * 2 * 16


@pytest.mark.parametrize("band", [1, 2, 32])
@pytest.mark.parametrize(
    "terms",
    [
        "sliding_window(band={})",
        "sliding_window(band={}) + mqa",
        "sparse_attention(band={}, layers='all')",
    ],
)
def test_a_long_prompt_leaves_no_more_behind_than_the_band(terms, band):
    model, memory = ablab.build(f"gpt2 + {terms.format(band)}", **DIMS).eval(), KVCache()
    width = 4 if "mqa" in terms else 16
    with torch.no_grad():
        for time in (2000, 1, 30, 1, 1):
            model(torch.zeros(1, time, dtype=torch.long), memory)
            assert memory.numel() == (band - 1) * 2 * width
            assert allocated(memory) <= 2 * (band + 16) * 2 * width * FLOAT32
            assert memory.allocated_bytes() == allocated(memory)


def test_a_dense_cache_has_little_room_to_spare():
    model, memory = ablab.build("gpt2", **DIMS).eval(), KVCache()
    with torch.no_grad():
        for time in (2000, *[1] * 20):
            model(torch.zeros(1, time, dtype=torch.long), memory)
    assert memory.numel() == 2020 * 2 * 16
    assert (
        memory.numel() * FLOAT32
        <= memory.allocated_bytes()
        == allocated(memory)
        <= 1.2 * 2020 * 2 * 16 * FLOAT32
    )


@pytest.mark.parametrize("keep", [None, 31])
def test_rows_are_copied_seldom(keep):
    """A step writes its own row: over a thousand steps, the buffers made anew have few rows in all
    for each step.
    """
    memory, buffers = KVCache(), []
    for step in range(1000):
        memory.append("k", torch.full((1, 1, 1, 1), float(step)), keep)
        if not buffers or memory._rows["k"]._buffer is not buffers[-1]:
            buffers.append(memory._rows["k"]._buffer)
    assert sum(buffer.shape[2] for buffer in buffers) < 1000 * 12


@pytest.mark.parametrize("keep", [None, 0, 1, 3, 31])
def test_rows_come_back_in_order(keep):
    memory, draw, plain = KVCache(), torch.Generator().manual_seed(0), torch.zeros(2, 3, 0, 5)
    for time in (1, 4, 100, 1, 1, 1, 50, *[1] * 70, 7):
        new = torch.randn(2, 3, time, 5, generator=draw)
        plain = torch.cat((plain, new), dim=2)
        assert torch.equal(memory.append("v", new, keep), plain)
        if keep is not None:
            plain = plain[:, :, max(0, plain.shape[2] - keep) :]


@pytest.mark.parametrize(
    "terms",
    ["sliding_window(band=32)", "sparse_attention(band=32, layers='all', strided=True)", "alibi"],
)
def test_long_prompts_and_steps_behind_them_give_the_logits_of_one_pass(terms):
    model, memory = (
        ablab.build(f"gpt2 + {terms}", **{**DIMS, "layers": 2, "context": 300}).double().eval(),
        KVCache(),
    )
    draw = torch.Generator().manual_seed(0)
    for p in model.parameters():
        p.data.add_(torch.randn(p.shape, generator=draw, dtype=p.dtype), alpha=0.3)
    tokens = torch.randint(0, 30, (1, 300), generator=draw)
    with torch.no_grad():
        pieces = [model(part, memory) for part in tokens.split([200, 1, 40, *[1] * 59], dim=1)]
        assert torch.allclose(torch.cat(pieces, dim=1), model(tokens), atol=1e-9)


def storages(memory):
    """The address and the bytes of every buffer, found in the memory's own attributes."""
    rows = {
        rows._buffer.untyped_storage().data_ptr(): rows._buffer.untyped_storage().nbytes()
        for rows in memory._rows.values()
    }
    for part in memory.parts.values():
        rows |= storages(part)
    return rows


def allocated(memory):
    return sum(storages(memory).values())
