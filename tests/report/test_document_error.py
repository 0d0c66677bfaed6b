"""The document error of an effect in reports."""

from dataclasses import replace

import numpy as np
import pytest

from ablab.analysis.summarise import summarise
from ablab.records.run_record import Record
from ablab.train.window_scores import WindowScores
from tests.report.test_report import ARMS, finish, printed, record  # noqa: F401

DOCUMENT = np.array([0, 1, 1, 2])
BYTES = np.array([100, 50, 50, 200])


def write_windows(home, nats):
    """Write scores of `nats[arm][seed]`, `(windows,)`."""
    for i, arm in enumerate(ARMS):
        for seed, nll in enumerate(nats[arm]):
            scores = WindowScores(np.array(nll), DOCUMENT, BYTES, np.array([30, 15, 15, 60]))
            scores.write(Record(home, f"{i}{seed}").folder / "val_windows.npz")


def test_the_error_is_that_over_documents_of_the_mean_over_seeds(record):  # noqa: F811
    finish(record)
    home = record.home.root
    rng = np.random.default_rng(0)
    nats = {arm: rng.uniform(50, 300, (3, 4)) for arm in ARMS}
    write_windows(home, nats)
    summary = summarise(record)
    mine, _ = summary.parts[0].effects
    # Plainly: bits of each document by which the arms differ, then a residual for each document.
    bits = []
    for windows in ([0], [1, 2], [3]):
        mean = {
            arm: sum(nats[arm][seed][w] for seed in range(3) for w in windows) / 3 for arm in ARMS
        }
        bits.append((mean[ARMS[1]] - mean[ARMS[0]]) / np.log(2))
    ratio = sum(bits) / 400
    squares = sum((b - ratio * size) ** 2 for b, size in zip(bits, (100, 100, 200), strict=True))
    assert mine.document_error == pytest.approx(np.sqrt(3 / 2 * squares) / 400)
    assert mine.documents == 3
    text = " ".join(printed(summary).split())
    assert "document error of an effect: at most ±" in text
    assert "over 3 held-out documents" in text
    assert summary.as_json()["parts"][0]["effects"][0]["documents"] == 3


def test_it_is_not_known_without_scores_of_the_same_windows_for_every_run(record):  # noqa: F811
    finish(record)
    home = record.home.root
    assert "document error" not in printed(summarise(record))
    write_windows(home, {arm: np.ones((3, 4)) for arm in ARMS})
    file = Record(home, "12").folder / "val_windows.npz"
    scores = WindowScores.read(file)
    assert scores is not None
    replace(scores, document=np.array([0, 1, 2, 3])).write(file)
    mine, worse = summarise(record).parts[0].effects
    assert mine.document_error is None
    assert worse.document_error == pytest.approx(0.0)
    file.unlink()
    assert summarise(record).parts[0].effects[0].document_error is None
