"""Contrasts as files: `contrasts.csv`, one line each, and `runs.csv`, what they share.

A table may be committed: it is small, holds no run, and keeps which estimates depend on each other.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ablab.errors import UserError, unknown
from ablab.evidence.contrast import DIGEST, EvidenceContrast, Origin, Setting
from ablab.files import write_together
from ablab.metrics import METRICS

CONTRASTS, RUNS = "contrasts.csv", "runs.csv"
_GROUPS = {"setting": Setting, "origin": Origin}
_DIGITS = 6  # significant ones of numbers


def _columns() -> list[str]:
    columns = ["id"]
    for field in fields(EvidenceContrast):
        group = _GROUPS.get(field.name)
        if group is not None:
            columns += [f"{field.name}.{each.name}" for each in fields(group)]
        elif field.name != "runs":
            columns.append(field.name)
    return columns


COLUMNS = _columns()
_ADAPTER = TypeAdapter(EvidenceContrast)
_RUN_COLUMNS = ["id", "weight", "runs"]


def table_texts(contrasts: Sequence[EvidenceContrast]) -> dict[str, str]:
    """Return the texts of the table's files by name."""
    rows = [[number, *_values(contrast)] for number, contrast in enumerate(contrasts, start=1)]
    shares = [
        [number, f"{weight:.{_DIGITS}g}", " ".join(runs)]
        for number, contrast in enumerate(contrasts, start=1)
        for weight, runs in _by_weight(contrast.runs)
    ]
    return {CONTRASTS: _text([COLUMNS, *rows]), RUNS: _text([_RUN_COLUMNS, *shares])}


def write_table(folder: Path, contrasts: Sequence[EvidenceContrast]) -> list[Path]:
    """Write the table to `folder`, both files or none.

    Raises:
        UserError: if the folder cannot be written.

    """
    texts = table_texts(contrasts)
    write_together(folder, {name: text.encode() for name, text in texts.items()})
    return [folder / name for name in texts]


def read_table(folder: Path) -> list[EvidenceContrast]:
    """Read a table.

    Raises:
        UserError: if there is none, or if it has other columns or a value that is none.

    """
    runs: dict[str, dict[str, float]] = {}
    for row in _read(folder / RUNS, _RUN_COLUMNS):
        with_place = f"{folder / RUNS}: row of contrast {row['id']}"
        weight = _number(row["weight"], with_place)
        runs.setdefault(row["id"], {}).update(dict.fromkeys(row["runs"].split(), weight))
    return [
        replace(_contrast(row, folder / CONTRASTS), runs=runs.get(row["id"], {}))
        for row in _read(folder / CONTRASTS, COLUMNS)
    ]


def _by_weight(runs: Mapping[str, float]) -> list[tuple[float, list[str]]]:
    groups: dict[float, list[str]] = {}
    for run, weight in runs.items():
        groups.setdefault(float(f"{weight:.{_DIGITS}g}"), []).append(run[:DIGEST])
    return [(weight, sorted(keys)) for weight, keys in sorted(groups.items())]


def _values(contrast: EvidenceContrast) -> list[str]:
    values = asdict(contrast)
    flat = {name: value for name, value in values.items() if name not in (*_GROUPS, "runs")}
    for group in _GROUPS:
        flat |= {f"{group}.{name}": value for name, value in values[group].items()}
    return [_cell(flat[name]) for name in COLUMNS[1:]]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.{_DIGITS}g}" if isinstance(value, float) else str(value)


def _text(rows: Iterable[Sequence[Any]]) -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(rows)
    return file.getvalue()


def _read(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(
            f"{path}: there is no such table (`ablab evidence --save {path.parent}` writes it)"
        ) from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8, so no table of evidence") from None
    rows = list(csv.DictReader(io.StringIO(text)))
    names = next(csv.reader(io.StringIO(text)), [])
    if names != list(columns):
        raise UserError(
            f"{path}: its columns are not those of this version of ablab: write it again "
            f"(`ablab evidence --save {path.parent}`)"
        )
    for number, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise UserError(f"{path}:{number}: not {len(columns)} values")
    return rows


def _contrast(row: Mapping[str, str], path: Path) -> EvidenceContrast:
    place = f"{path}: contrast {row['id']}"
    values: dict[str, Any] = {}
    for column in COLUMNS[1:]:
        group, dot, name = column.rpartition(".")
        if row[column]:  # an empty cell is the field's default
            (values.setdefault(group, {}) if dot else values)[name] = row[column]
    try:
        contrast = _ADAPTER.validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise UserError(f"{place}: {field}: {first['msg']}") from None
    if contrast.metric not in METRICS:
        raise unknown("metric", contrast.metric, METRICS).at(place)
    if not contrast.is_usable:
        raise UserError(f"{place}: no standard error above zero with more than two dof")
    return contrast


def _number(text: str, place: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UserError(f"{place}: {text!r} is no number") from None
