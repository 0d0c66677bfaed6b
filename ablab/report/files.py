"""A study's report as files: what stands beside its record, and among its parent's artifacts in MLflow."""

from pathlib import Path

from ablab.files import write_atomically, write_json
from ablab.report.figures import effects_plot
from ablab.report.html import write_report
from ablab.report.summary import Summary
from ablab.study.home import StudyRecord


def write_files(summary: Summary, record: StudyRecord) -> list[Path]:
    """Writes the report as HTML and as JSON, and its figures as SVG: their paths, the HTML's first."""
    files = [write_report(summary, record), record.reports / f"{record.revision}.json"]
    write_json(files[1], summary.as_dict())
    if any(effect.estimate is not None for effect in summary.effects):
        figure = record.reports / f"{record.revision}-effects.svg"
        write_atomically(figure, lambda file: file.write(effects_plot(summary).encode()))
        files.append(figure)
    return files
