"""A study's report as files: what stands beside its record, and among its parent's artifacts in
MLflow.
"""

from pathlib import Path

from ablab.analysis.study_summary import StudySummary
from ablab.files import write_json
from ablab.records.home import StudyRecord
from ablab.report.html import write_pages


def write_files(summary: StudySummary, record: StudyRecord) -> list[Path]:
    """Writes the report as HTML, Markdown and JSON, and its figures: their paths, the HTML's
    first.
    """
    files = [*write_pages(summary, record), record.reports / f"{record.revision}.json"]
    write_json(files[-1], summary.as_json())
    return files
