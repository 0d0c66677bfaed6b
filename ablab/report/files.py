"""The report of a study as files, which are kept beside its record and as artifacts in MLflow."""

from pathlib import Path

from ablab.analysis.summary import StudySummary
from ablab.files import write_json
from ablab.records.study_record import StudyRecord
from ablab.report.html import write_pages


def write_files(summary: StudySummary, record: StudyRecord) -> list[Path]:
    """Write the report as HTML, Markdown and JSON, and its figures.

    Returns:
        The paths, that of the HTML page first.

    """
    files = [*write_pages(summary, record), record.reports / f"{record.revision}.json"]
    write_json(files[-1], summary.as_json())
    return files
