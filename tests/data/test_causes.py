"""Errors of libraries are shown by their cause, not by what wraps it."""

import pytest

from ablab.data import sources
from ablab.data.spec import HubData
from ablab.errors import UserError, reason


def wrapped(cause):
    try:
        raise RuntimeError("An error occurred\nwhile generating the dataset") from cause
    except RuntimeError as error:
        return error


def test_a_reason_is_the_first_line_of_the_cause():
    assert (
        reason(wrapped(wrapped(ValueError("\n bad row 3\nin x.json")))) == "ValueError: bad row 3"
    )
    assert reason(wrapped(None)) == "RuntimeError: An error occurred"
    assert reason(ValueError()) == "ValueError"


def test_a_damaged_dataset_says_what_is_damaged(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "x.jsonl").write_text('{"text": "a"}\n{"text": \n')
    with pytest.raises(UserError, match=r"cannot be loaded: .*(JSON|Expecting|Invalid)") as error:
        sources.documents(HubData(source="hub", name=str(tmp_path / "set")))
    assert "An error occurred while generating the dataset" not in str(error.value)
    assert len(str(error.value).splitlines()) == 1
