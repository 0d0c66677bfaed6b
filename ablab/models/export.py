"""A finished run as a folder that `transformers` loads."""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablab.arch.composition.compose import overlap
from ablab.arch.composition.expression import Use, resolve
from ablab.arch.composition.registry import Registry
from ablab.data.store import TokenStore, open_store
from ablab.errors import UserError
from ablab.files import publish_folder
from ablab.hf.exchange import Fit, nearest_form, package, to_transformers
from ablab.models.load import trained_model
from ablab.records.home import Home
from ablab.records.run_record import find_record
from ablab.records.run_spec import RunSpec


@dataclass(frozen=True)
class Exported:
    """The result of an export: the class of the model in `transformers`, and the reason why there
    is no tokenizer (empty if there is one).
    """

    spec: RunSpec
    model: str
    no_tokenizer: str


def export(home: Home, run: str, folder: Path, registry: Registry) -> Exported:
    """Export the finished run whose key starts with `run` to `folder`, which must be empty or
    missing: model, configs, and the tokenizer if `transformers` can represent it exactly.

    Raises UserError and leaves nothing behind if there is no such run, if its model has no form, or
    if `folder` cannot be written.
    """
    _check_free(folder)
    record = find_record(home.root, run)
    spec, decoder = trained_model(record, registry)
    fit = nearest_form(decoder.arch, registry)
    if fit.misfits:
        uses = {
            name: Use(plugin := registry.plugin(name), plugin.configure(options))
            for name, options in spec.plugins
        }
        raise UserError(
            f"{spec.arm} has no form in transformers: {_explained(fit, uses, registry)}"
        )
    store, reason = _store(home, spec)
    ends = (
        {}
        if store is None
        else {"bos_token_id": store.end_of_text, "eos_token_id": store.end_of_text}
    )
    model = to_transformers(decoder, registry, ends)
    with _whole(folder) as draft:
        with _no_bars():
            model.save_pretrained(draft)
        if store is not None:
            reason = _write_tokenizer(store, draft, spec)
    return Exported(spec, type(model).__name__, reason)


def _explained(fit: Fit, uses: Mapping[str, Use], registry: Registry) -> str:
    """Describe the changes that the nearest form does not support, each with its paths."""
    family_uses = resolve(fit.family.name, registry).uses
    changes: dict[str, list[str]] = {}
    for path in fit.misfits:
        added, lacking = (_writer(path, some) for some in (uses, family_uses))
        change = added or (f"the lack of {lacking}" if lacking else "")
        changes.setdefault(change, []).append(path)
    parts = "; ".join(f"{change} ({', '.join(paths)})".strip() for change, paths in changes.items())
    return f"{fit.form.model_type} is the nearest, and has no place for {parts}"


def _writer(path: str, uses: Mapping[str, Use]) -> str | None:
    return next(
        (str(use) for use in uses.values() if overlap({path: None}, use.claim().edit)), None
    )


def _store(home: Home, spec: RunSpec) -> tuple[TokenStore | None, str]:
    try:
        return open_store(home.tokens / spec.data), ""
    except FileNotFoundError:
        return None, f"the run's tokens are gone from {home.tokens}"


def _write_tokenizer(store: TokenStore, folder: Path, spec: RunSpec) -> str:
    """Write the tokenizer, or return the reason why it cannot be written."""
    from ablab.data.portable import portable
    from ablab.data.tokenizers import END_OF_TEXT

    try:
        tokenizer = portable(store)
    except UserError as error:
        return str(error)
    fast: Any = package().PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        model_max_length=spec.dims["context"],
    )
    fast.save_pretrained(folder)
    return ""


@contextmanager
def _no_bars() -> Iterator[None]:
    """Disable the progress bars of the package within the context."""
    bars: Any = package().utils.logging
    enabled = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if enabled:
            bars.enable_progress_bar()


def _check_free(folder: Path) -> None:
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise UserError(f"{folder} exists and is not an empty folder")


@contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """Yield a draft that is renamed to `folder` at the end, or removed on failure. Raises UserError
    if it cannot be written.
    """
    anchor = next(parent for parent in folder.absolute().parents if parent.exists())
    draft = anchor / f".{folder.name}.{os.getpid()}"
    try:
        draft.mkdir()
        yield draft
        folder.parent.mkdir(parents=True, exist_ok=True)
        publish_folder(draft, folder)
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
