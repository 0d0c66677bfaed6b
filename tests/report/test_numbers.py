import pytest

from ablab.text.numbers import digits, exact, p_value, plain, short, signed, significant_digits


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0, "0"),
        (12, "12"),
        (999.6, "1k"),
        (1234, "1.23k"),
        (999.6e9, "1T"),
        (999e9, "999G"),
        (3e15, "3P"),
    ],
)
def test_short(value, text):
    assert short(value) == text


@pytest.mark.parametrize(
    ("spread", "places"),
    [(0.0123, 3), (0.15, 2), (1.2, 1), (30.0, 1), (None, 4), (0.0, 4), (1e-9, 6)],
)
def test_digits_follow_the_uncertainty(spread, places):
    assert digits(spread) == places


def test_words():
    assert signed(-0.1234, 2) == "-0.12"
    assert plain(None, 2) == "–"
    assert p_value(0.0004) == "<0.001"
    assert p_value(0.0123) == "0.012"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (4096, "4096"),
        (4096.0, "4096"),
        (1000, "1000"),
        (280_000.0, "280000"),
        (4e11, "4e+11"),
        (0.2, "0.2"),
        (0.0, "0"),
        (12_345_678, "12345678"),
        (1.5e6, "1.5e+06"),
        (0.0012345678, "0.0012345678"),
    ],
)
def test_all_of_a_number(value, text):
    assert exact(value) == text
    assert float(text) == value


@pytest.mark.parametrize(
    ("ticks", "texts"),
    [
        ((1e6, 1.005e6, 1.01e6), ["1M", "1.005M", "1.01M"]),
        ((1e6, 1.0025e6, 1.005e6), ["1M", "1.0025M", "1.005M"]),
        ((999_500.0, 1_000_000.0, 1_000_500.0), ["999.5k", "1M", "1.0005M"]),
        ((0.0, 2e5, 4e5), ["0", "200k", "400k"]),
        ((0.30000000000000004, 0.4, 0.5), ["0.3", "0.4", "0.5"]),
        ((7.0,), ["7"]),
    ],
)
def test_ticks_stand_where_they_say(ticks, texts):
    assert [short(tick, significant_digits(ticks)) for tick in ticks] == texts
