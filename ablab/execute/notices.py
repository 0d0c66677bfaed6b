"""What a user should know before the missing runs of a study are trained."""

from ablab.errors import UserError
from ablab.execute.request import Planned
from ablab.records.run_record import Record
from ablab.records.study_content import VERSION
from ablab.records.study_record import StudyRecord
from ablab.train.numerics import TESTED_TORCH, other_torch


def notices(planned: Planned, record: StudyRecord) -> list[str]:
    """Return a line on each difference between earlier runs, or tested ones, and those to come."""
    lines = (_earlier_version(planned, record), _other_processor(planned, record), _other_torch())
    return [line for line in lines if line]


def _earlier_version(planned: Planned, record: StudyRecord) -> str:
    """Return a line if the runs of an earlier version are trained again."""
    try:
        content = record.read()
    except UserError:  # none was written yet
        return ""
    reused = planned.plan.unique.keys() & content.entries.keys()
    if content.version >= VERSION or reused:
        return ""
    return (
        "this study was last run by an earlier version of ablab, whose runs can be reported and "
        "exported but not reused: all runs are trained again"
    )


def _other_processor(planned: Planned, record: StudyRecord) -> str:
    """Return a line if finished runs were trained on a processor other than this machine's."""
    from ablab.train.machine import processor

    root = record.home.root
    results = (Record(root, key).result for key in planned.settled(root))
    for result in results:
        if result is not None and result.processors and processor() not in result.processors:
            return (
                f"finished runs were trained on another processor ({result.processors[0]}) than "
                f"this machine's ({processor()}): their last digits may differ from those of runs "
                "here"
            )
    return ""


def _other_torch() -> str:
    """Return a line if the installed torch is not the tested release."""
    release = other_torch()
    if release is None:
        return ""
    return (
        f"torch {release} is installed; ablab is tested with {TESTED_TORCH}, and the last digits "
        "of results may differ between the two"
    )
