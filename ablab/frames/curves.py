"""What the runs of a study measured while they trained, as a frame."""

from pathlib import Path

import pandas as pd

from ablab.analysis.curves import measurements
from ablab.analysis.summary import StudySummary
from ablab.frames.table import COUNT, NUMBER, TEXT
from ablab.records.run_record import Record

_COLUMNS = {"key": TEXT, "step": COUNT, "metric": TEXT, "value": NUMBER}


def curves_frame(summary: StudySummary, home: Path) -> pd.DataFrame:
    """Return one row per run, metric and step, by the key of the run.

    The final values of a finished run are at its last step.
    """
    points = [
        (key, step, metric, value)
        for key in summary.content.entries
        for metric, values in sorted(
            measurements(Record(home, key).metrics.rows(), summary.results.get(key)).items()
        )
        for step, value in sorted(values.items())
    ]
    return pd.DataFrame(points, columns=list(_COLUMNS)).astype(_COLUMNS)
