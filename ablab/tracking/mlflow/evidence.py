"""The contrasts of a study on its parent run, from which `ablab evidence` of others reads them."""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ablab.errors import UserError
from ablab.evidence.contrast import EvidenceContrast
from ablab.evidence.table import CONTRASTS, RUNS, read_table, table_texts
from ablab.spec.addresses import redacted
from ablab.tracking.mlflow.store import KIND, STUDY, Store, open_store, search

FOLDER = "evidence"
"""Folder of the table among a parent's artifacts."""


def log_evidence(store: Store, parent: str, contrasts: Sequence[EvidenceContrast]) -> None:
    """Log the contrasts of a study that count as evidence; nothing if there are none."""
    for name, text in table_texts(contrasts).items() if contrasts else ():
        store.client.log_text(parent, text, f"{FOLDER}/{name}")


def read_evidence(uri: str) -> tuple[list[EvidenceContrast], list[str]]:
    """Return the contrasts of all studies in the store at `uri`, and what was left out, in words.

    Raises:
        UserError: if the address names no store, and the exceptions of MLflow's clients.

    """
    store = open_store(uri, Path(), make=False)
    contrasts: list[EvidenceContrast] = []
    left_out: list[str] = []
    for parent in search(store, f"tags.`{KIND}` = 'study'"):
        study = parent.data.tags.get(STUDY, parent.info.run_id)
        try:
            found = _read(store, parent.info.run_id)
        except UserError as error:
            left_out.append(f"{study} on the server: {error}")
            continue
        address = redacted(uri, uri)
        contrasts += [replace(c, origin=replace(c.origin, server=address)) for c in found]
    return contrasts, left_out


def _read(store: Store, run: str) -> list[EvidenceContrast]:
    names = {Path(file.path).name for file in store.client.list_artifacts(run, FOLDER)}
    if not {CONTRASTS, RUNS} <= names:
        raise UserError("no table of contrasts (`ablab sync` writes it once there are verdicts)")
    with tempfile.TemporaryDirectory() as folder:
        return read_table(Path(store.client.download_artifacts(run, FOLDER, folder)))
