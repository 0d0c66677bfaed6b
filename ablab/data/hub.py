"""Documents of datasets that the datasets library loads.

The library is imported only when it is needed.
"""

import importlib.util
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from ablab.data.files import corpus_files
from ablab.data.rows import Row
from ablab.data.spec import HubData
from ablab.errors import UserError, reason

_FILES = "files"  # the folder of links to the files of a local dataset


def hub_rows(data: HubData, excluded: Sequence[Path] = ()) -> list[Row]:
    """Return the rows of a dataset that have text. `excluded` are never part of a local folder.

    Raises UserError if the dataset cannot be loaded, or has no such column of text.
    """
    if importlib.util.find_spec("datasets") is None:
        raise UserError(
            "data.source: hub needs the datasets library (`pip install datasets`); stdlib "
            "and text work without"
        )
    with _scratch() as scratch, _reachable(data, scratch):
        rows = _load(data, excluded, scratch)
        columns = rows.column_names or list(next(iter(rows), {}))
        if data.column not in columns:
            raise UserError(
                f"data.column: {data.name!r} has no column {data.column!r} (columns: "
                f"{', '.join(columns)})"
            )
        limited = (
            islice(rows, data.limit)
            if data.streaming
            else rows.select(range(min(data.limit or len(rows), len(rows))))
        )
        texts = [(i, row[data.column]) for i, row in enumerate(limited) if row[data.column]]
    for i, text in texts:
        if not isinstance(text, str):
            raise UserError(
                f"data.column: row {i} of {data.column!r} holds {type(text).__name__}, not text"
            )
    return [{"name": f"{data.split}/{i}", "text": text} for i, text in texts]


@contextmanager
def _scratch() -> Iterator[Path]:
    """Make a folder beside the cache of the datasets library, and remove it at the end."""
    from datasets import config

    os.makedirs(config.HF_DATASETS_CACHE, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ablab-", dir=config.HF_DATASETS_CACHE) as folder:
        yield Path(folder)


def _load(data: HubData, excluded: Sequence[Path], scratch: Path) -> Any:
    import datasets

    options: dict[str, Any] = {
        "revision": data.revision,
        "split": data.split,
        "streaming": data.streaming,
    }
    if not Path(data.name).is_dir():
        return datasets.load_dataset(data.name, data.config, **options)
    # With its usual cache, the library returns old rows of a file that changed but kept its
    # modification time.
    folder = _linked(data, excluded, scratch)
    options["cache_dir"] = str(scratch / "cache")
    return datasets.load_dataset(str(folder), data.config, **options)


def _linked(data: HubData, excluded: Sequence[Path], scratch: Path) -> Path:
    """Return a folder with links to the files of the corpus, so that no other file is read."""
    folder = scratch / _FILES
    folder.mkdir()
    for path in corpus_files(data, excluded):
        link = folder / path.relative_to(data.name)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.realpath(path))
    return folder


@contextmanager
def _reachable(data: HubData, scratch: Path) -> Iterator[None]:
    """Convert errors of the datasets library to a UserError of one line."""
    from datasets.exceptions import DatasetsError

    linked = str(scratch / _FILES)  # the library names this folder, not the user's

    try:
        yield
    except UserError:
        raise
    except (ValueError, FileNotFoundError, DatasetsError) as error:
        raise UserError(
            f"data.name: {data.name!r} cannot be loaded: "
            f"{reason(error).replace(linked, data.name)}{_offline(data)}"
        ) from error
    except Exception as error:  # the hub client has many network errors and no common base
        raise UserError(
            f"data.name: {data.name!r} is out of reach ({reason(error)}){_offline(data)}"
        ) from error


def _offline(data: HubData) -> str:
    if Path(data.name).exists():
        return ""
    return (
        "; without a network these work: source stdlib, source text, and hub with a local folder "
        "as its name"
    )
