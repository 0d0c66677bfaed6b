"""Files of JSON lines: what is cut off or damaged is left out, and never read as something else."""

import json
import random
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from ablab.json_lines import append_row, read_rows, write_rows
from ablab.records.home import make_home
from ablab.records.study_record import Execution, StudyRecord

ROWS = [
    {
        "step": n,
        "train/loss": 3.0 / (n + 1),
        "note": "größer, \n\u2028 und \x00",
        "nan": float("inf"),
    }
    for n in range(20)
]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "folder" / "rows.jsonl"
    for row in ROWS:
        append_row(path, row)
    return path


def test_rows_are_read_as_they_were_written(file):
    assert read_rows(file) == ROWS
    write_rows(file, ROWS[:3])
    assert read_rows(file) == ROWS[:3]
    assert read_rows(file.with_name("none")) == []


def test_a_line_is_json_with_the_checksum_of_the_rest(file):
    for line, row in zip(file.read_text().split("\n")[:-1], ROWS, strict=True):
        content = json.loads(line)
        crc = content.pop("crc")
        assert content == row
        assert crc == f"{zlib.crc32(json.dumps(row).encode()):08x}"


@pytest.mark.parametrize("seed", range(10))
def test_no_flipped_bit_makes_another_row(file, seed):
    whole = file.read_bytes()
    drawn = random.Random(seed)
    for _ in range(60):
        damaged = bytearray(whole)
        damaged[drawn.randrange(len(damaged))] ^= 1 << drawn.randrange(8)
        file.write_bytes(damaged)
        rows = read_rows(file)
        # A line break that is made or lost costs two rows at most.
        assert len(rows) >= len(ROWS) - 2
        assert [row for row in ROWS if row in rows] == rows


def test_a_line_that_was_cut_off_costs_itself_alone(file):
    for cut in range(1, len(file.read_bytes().splitlines(keepends=True)[-1])):
        write_rows(file, ROWS)
        file.write_bytes(file.read_bytes()[:-cut])
        whole = ROWS if cut == 1 else ROWS[:-1]  # of the line break alone, nothing is missed
        assert read_rows(file) == whole
        append_row(file, {"step": 99})
        assert read_rows(file) == [*whole, {"step": 99}]


def test_rows_of_earlier_versions_are_read_and_followed_by_checked_ones(file):
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS[:5]))
    assert read_rows(file) == ROWS[:5]
    append_row(file, ROWS[5])
    assert read_rows(file) == ROWS[:6]
    with file.open("a") as handle:
        handle.write('{"step": 99}\n')  # no earlier version writes after this one
    assert read_rows(file) == ROWS[:6]


def test_rows_appended_at_the_same_time_are_all_there(file):
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: append_row(file, {"step": n}), range(200)))
    assert sorted(row["step"] for row in read_rows(file)[len(ROWS) :]) == list(range(200))


def test_a_study_survives_executions_cut_in_mid_line(tmp_path):
    record = StudyRecord(make_home(tmp_path), "s", "r1")
    record.executed(Execution(1.0, 2.0, 3, 4.0, 5))
    path = record.path.with_suffix(".executions")
    path.write_bytes(path.read_bytes()[:-20])
    record.executed(Execution(2.0, 2.0, 3, 4.0, 5))
    assert record.executions == [Execution(2.0, 2.0, 3, 4.0, 5)]
    path.write_bytes(b"\xff\xfe[]\n" + path.read_bytes())
    assert record.executions == [Execution(2.0, 2.0, 3, 4.0, 5)]
