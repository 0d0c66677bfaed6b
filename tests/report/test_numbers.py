import pytest

from ablab.report.numbers import digits, p_value, plain, short, signed


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0, "0"), (12, "12"), (999.6, "1k"), (1234, "1.23k"), (999.6e9, "1T"), (999e9, "999G"), (3e15, "3P")],
)
def test_short(value, text):
    assert short(value) == text


@pytest.mark.parametrize(("spread", "places"), [(0.0123, 3), (0.15, 2), (1.2, 1), (30.0, 1), (None, 4), (0.0, 4), (1e-9, 6)])
def test_digits_follow_the_uncertainty(spread, places):
    assert digits(spread) == places


def test_words():
    assert signed(-0.1234, 2) == "-0.12"
    assert plain(None, 2) == "–"
    assert p_value(0.0004) == "<0.001"
    assert p_value(0.0123) == "0.012"
