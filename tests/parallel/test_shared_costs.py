"""What a run on several processes measures of its model."""

import pytest

from tests.parallel.runs import DDP, FSDP, GRID, SINGLE, TENSOR, Task, trained

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("layout", [DDP, FSDP, TENSOR, GRID], ids=str)
def test_costs_on_any_layout(crew, store, tmp_path, layout):
    one, several = (
        [
            rank["result"].cost
            for rank in crew.run(on.processes, trained, Task("gpt2", store.folder, tmp_path), on)
        ]
        for on in (SINGLE, layout)
    )
    alone, main = one[0], several[0]
    assert main.kv_cache_bytes == alone.kv_cache_bytes == 2 * 2 * 32 * 16 * 8
    # Parts do not decode.
    assert (main.decode_tokens_per_second is None) == layout.sharded
    # The largest share of any process, less than the whole: half the sequences, and half of the
    # weights where they are split.
    assert len({cost.peak_memory_bytes for cost in several}) == 1
    assert 0.25 * alone.peak_memory_bytes < main.peak_memory_bytes < 0.95 * alone.peak_memory_bytes
