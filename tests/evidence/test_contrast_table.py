"""The table of contrasts on disk."""

from dataclasses import replace

import pytest

from ablab.errors import UserError
from ablab.evidence.pooling import change_evidence
from ablab.evidence.table import CONTRASTS, RUNS, read_table, write_table
from tests.evidence.contrasts import make_contrast

SHARED = {"a" * 10: 0.25, "b" * 10: 0.25, "c" * 10: -0.5}


def test_it_keeps_what_the_evidence_rests_on(tmp_path):
    contrasts = [
        make_contrast(-0.0512345, 0.00123456, runs=SHARED, setting_tuned=True),
        make_contrast(0.5, setting_compute=None, setting_tokens=None, margin=None),
        make_contrast(-0.1, change="swiglu for relu", verdict="depends", origin_part="a, b"),
    ]
    assert [file.name for file in write_table(tmp_path / "new", contrasts)] == [CONTRASTS, RUNS]
    read = read_table(tmp_path / "new")
    ends = [(round(c.low, 9), round(c.high, 9)) for c in contrasts]
    assert [(round(c.low, 6), round(c.high, 6)) for c in read] == [
        (round(low, 6), round(high, 6)) for low, high in ends
    ]
    assert [replace(c, low=0, high=0) for c in read] == [
        replace(c, low=0, high=0) for c in contrasts
    ]


def test_dependence_survives_it(tmp_path):
    pair = [
        make_contrast(-0.1, runs=SHARED),
        make_contrast(-0.2, runs={**SHARED, "d" * 10: 0.1}, setting_compute=4e11),
    ]
    write_table(tmp_path, pair)
    assert change_evidence(read_table(tmp_path)).pooled.clusters == 1


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda text: text.replace("val/bpb", "val/bpb,1"), f"{CONTRASTS}:2: not"),
        (lambda text: text.replace("id,change", "id,name"), "its columns are not those of this"),
        (
            lambda text: text.replace(",-0.1,", ",minus,"),
            "1: estimate: Input should be a valid number",
        ),
        (lambda text: text.replace(",0.01,", ",0,"), "contrast 1: no standard error above zero"),
        (lambda text: text.replace("val/bpb", "val/bbp"), "no metric named 'val/bbp'"),
        (
            lambda text: text.replace("inconclusive", "maybe").replace("helps", "maybe"),
            "verdict: Input should be",
        ),
        (
            lambda text: text.replace(",2,", ",2.5,", 1),
            "setting.layers: Input should be",
        ),
    ],
)
def test_a_damaged_table_is_refused_with_its_place(tmp_path, edit, message):
    write_table(tmp_path, [make_contrast(-0.1)])
    file = tmp_path / CONTRASTS
    file.write_text(edit(file.read_text()))
    with pytest.raises(UserError) as error:
        read_table(tmp_path)
    assert message in str(error.value)


def test_a_folder_without_a_table_says_how_to_write_one(tmp_path):
    with pytest.raises(UserError, match="ablab evidence --save"):
        read_table(tmp_path)
