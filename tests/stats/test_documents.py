"""The error of an effect over documents."""

import numpy as np
import pytest

from ablab.stats.checks.documents import by_document, document_error


def test_a_closed_form():
    """Equal sizes: the ordinary standard error of a mean. Bits per byte are 1, 2 and 3 here."""
    error = document_error(np.array([10.0, 20.0, 30.0]), np.array([10.0, 10.0, 10.0]))
    assert error is not None
    assert error.error == pytest.approx(1 / np.sqrt(3))
    assert error.documents == 3
    # By hand: R = 5/4, residuals -1/4 and 1/4, so 2/1 × 2/16 / 16.
    unequal = document_error(np.array([1.0, 4.0]), np.array([1.0, 3.0]))
    assert unequal is not None
    assert unequal.error == pytest.approx(np.sqrt(2 * 2 / 16 / 16))


def test_it_is_nearly_that_of_a_jackknife_over_documents():
    rng = np.random.default_rng(3)
    sizes = rng.integers(500, 1500, 200).astype(float)
    values = sizes * (0.1 + 0.05 * rng.standard_normal(200))
    left_out = [np.delete(values, i).sum() / np.delete(sizes, i).sum() for i in range(200)]
    jackknife = np.sqrt(199 / 200 * ((left_out - np.mean(left_out)) ** 2).sum())
    error = document_error(values, sizes)
    assert error is not None
    assert error.error == pytest.approx(jackknife, rel=0.02)


def test_windows_of_one_document_count_as_one():
    documents = np.array([0, 0, 2, 2, 2])
    assert by_document(np.array([1.0, 2.0, 3.0, 4.0, 5.0]), documents).tolist() == [3.0, 12.0]
    assert document_error(np.array([3.0]), np.array([2.0])) is None
