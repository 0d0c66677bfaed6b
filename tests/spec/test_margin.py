"""Margins of study files: which are accepted, and in which form."""

import pytest
from pydantic import TypeAdapter, ValidationError

from ablab.spec.margin import Margin, margin_of

ADAPTER = TypeAdapter(Margin)


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        0,
        -0.1,
        True,
        "0 %",
        "-1 %",
        "nan %",
        "inf %",
        "100 %",
        "250 %",
        "1e2 %",
        "9" * 400 + " %",
        "0.5",
        None,
    ],
)
def test_what_is_no_margin_is_refused(value):
    with pytest.raises(ValidationError, match=r"a number above 0 .* below 100 \('0.5 %'\), not "):
        ADAPTER.validate_python(value)


@pytest.mark.parametrize(
    ("value", "mean", "size"),
    [
        (0.02, None, 0.02),
        (3, None, 3.0),
        ("0.5%", 4.0, 0.02),
        (" .5 % ", -4.0, 0.02),
        ("99.5 %", 4.0, 3.98),
        ("0.00001 %", 4.0, 4e-7),
        ("2E-3 %", 4.0, 8e-5),
    ],
)
def test_a_margin_stays_the_same_when_it_is_read_again(value, mean, size):
    """As from the record of a study."""
    margin = ADAPTER.validate_python(value)
    assert ADAPTER.validate_python(margin) == margin
    assert margin_of(margin, mean) == pytest.approx(size)
