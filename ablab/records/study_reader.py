"""Reads the content of a study's record, of this and of earlier versions.

No other module knows the form of earlier versions.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ablab.records.study_content import StudyContent, TrackerState

_ADAPTER = TypeAdapter(StudyContent)


def read_content(content: Mapping[str, Any]) -> StudyContent:
    """Return the content of a record that this or an earlier version wrote.

    Raises:
        ValueError: if it is neither.

    """
    try:
        if "version" not in content:
            content = _upgraded(content)
        return _ADAPTER.validate_python(content)
    except (ValidationError, KeyError, TypeError) as error:
        raise ValueError(str(error)) from error


def keys_of(content: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the keys of the runs and trials in a record of any version, even an unreadable one."""
    keys: dict[str, None] = {}
    for part in (content, *content.get("parts", ())):
        shared = part.get("shared") or {}
        for entries in (shared.get("runs", ()), part.get("runs", ()), part.get("trials", ())):
            keys.update(dict.fromkeys(entry["key"] for entry in entries))
    return tuple(keys)


def tracker_state_of(content: Mapping[str, Any]) -> TrackerState | None:
    """Return what a tracker shows, from a record of any version; None where it is not known."""
    state = content.get("mirrored")
    return None if state is None else TrackerState(state["tracker"], tuple(state["keys"]))


def _upgraded(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a record of version 1, whose parts were laid over the study's own content."""
    parts = content.get("parts") or [{"label": "", **content}]
    parts = [_upgraded_part(part) for part in parts]
    keys = {run["key"] for part in parts for run in part["runs"]}
    return {
        "name": content["study"],
        "revision": content["revision"],
        "study": content["config"],
        "parts": parts,
        "expected": content.get("expected", {"runs": len(keys), "trials": 0}),
        "sources": content["sources"],
        "mirrored": content.get("mirrored"),
        "version": 1,
    }


def _upgraded_part(part: Mapping[str, Any]) -> dict[str, Any]:
    keys = {run["key"] for run in part["runs"]}
    arms = [arm["name"] for arm in part["arms"]]
    return {
        "label": part["label"],
        "study": part["config"],
        "baseline": part.get("baseline") or next(iter(arms), ""),
        "arms": part["arms"],
        "runs": part["runs"],
        "trials": part.get("trials", ()),
        "contrasts": part["contrasts"],
        "expected": part.get("expected", {"runs": len(keys), "trials": 0}),
        "infeasible": part["infeasible"],
        "notes": part.get("notes", ()),
        "shared": part.get("shared"),
    }
