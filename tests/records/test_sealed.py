"""Sealed files: what was written is read, and anything else is noticed."""

import hashlib
import json
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ablab.errors import UserError
from ablab.records.home import make_home
from ablab.sealed import DamagedFile, read_sealed, write_sealed

CONTENT = {"reason": 'a "seal": {"format": 1', "steps": 12, "metrics": {"val/bpb": 1.25}}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.dictionaries(st.text(), JSON))
def test_what_was_written_is_read(tmp_path, content):
    write_sealed(tmp_path / "x.json", content, sync=False)
    assert read_sealed(tmp_path / "x.json", tmp_path) == content


def test_the_seal_is_a_key_like_others_for_other_readers(tmp_path):
    write_sealed(tmp_path / "x.json", CONTENT)
    text = (tmp_path / "x.json").read_bytes()
    content = json.loads(text)
    seal = content.pop("seal")
    assert content == CONTENT
    body = text[: text.rindex(b' "seal"')]
    assert seal == {"format": 1, "sha256": hashlib.sha256(body).hexdigest()}


def test_no_flipped_bit_and_no_truncation_is_read_as_another_content(tmp_path):
    make_home(tmp_path).create()
    path = tmp_path / "x.json"
    write_sealed(path, CONTENT)
    text = path.read_bytes()
    damaged = [text[:length] for length in range(0, len(text), 3)]
    for bit in range(0, 8 * len(text), 5):  # every bit of a byte in turn
        changed = bytearray(text)
        changed[bit // 8] ^= 1 << bit % 8
        damaged.append(bytes(changed))
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"is damaged|later version"):
            read_sealed(path, tmp_path)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[1, 2]", b"7", b'{"a": 1'])
def test_garbage_is_damage_in_any_home(tmp_path, content):
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(DamagedFile, match=r"x\.json is damaged"):
        read_sealed(tmp_path / "x.json", tmp_path)


def test_a_file_without_a_seal_is_read_in_a_home_of_an_earlier_version_alone(tmp_path):
    (tmp_path / "x.json").write_text(json.dumps(CONTENT))
    assert read_sealed(tmp_path / "x.json", tmp_path) == CONTENT
    make_home(tmp_path).create()
    with pytest.raises(DamagedFile, match="has no seal"):
        read_sealed(tmp_path / "x.json", tmp_path)


def test_a_missing_file_is_none(tmp_path):
    assert read_sealed(tmp_path / "x.json", tmp_path) is None


def test_a_home_of_an_earlier_version_is_not_written_to(tmp_path):
    home = make_home(tmp_path)
    (tmp_path / "runs").mkdir()
    with pytest.raises(UserError, match="fsck --repair` makes it writable"):
        home.create()
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_the_identity_of_a_home_stays_and_damage_to_it_is_noticed(tmp_path):
    home = make_home(tmp_path / "home")
    home.create()
    identity = home.identity()
    home.create()
    assert home.identity() == identity == make_home(tmp_path / "home").identity()
    assert make_home(tmp_path / "other").identity() != identity
    file = tmp_path / "home" / "home.json"
    text = bytearray(file.read_bytes())
    text[random.Random(0).randrange(20, 50)] ^= 1
    file.write_bytes(text)
    with pytest.raises(DamagedFile):
        home.identity()
