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
from ablab.hf.exchange import Fit, nearest_form, package, to_transformers
from ablab.models.load import trained_model
from ablab.records.home import Home
from ablab.records.run_record import find_record
from ablab.records.run_spec import RunSpec


@dataclass(frozen=True)
class Exported:
    """What was written: the model's class there, and why there is no tokenizer (empty: there
    is).
    """

    spec: RunSpec
    model: str
    no_tokenizer: str


def export(home: Home, run: str, folder: Path, registry: Registry) -> Exported:
    """Writes the finished run whose key begins with `run` to `folder`, which must be empty or not
    there: model, configs, and the tokenizer if `transformers` has an exact form of it.

    Raises UserError, and leaves nothing behind, where the run or its form is missing, or `folder`
    can't be written.
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
    """The changes that the nearest form cannot say, each with its paths."""
    own = resolve(fit.family.name, registry).uses
    changes: dict[str, list[str]] = {}
    for path in fit.misfits:
        added, lacking = (_writer(path, some) for some in (uses, own))
        change = added or (f"the lack of {lacking}" if lacking else "")
        changes.setdefault(change, []).append(path)
    said = "; ".join(f"{change} ({', '.join(paths)})".strip() for change, paths in changes.items())
    return f"{fit.form.model_type} is the nearest, and has no place for {said}"


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
    """Writes the tokenizer, or says why not."""
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
    """Without the package's progress bars."""
    bars: Any = package().utils.logging
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            bars.enable_progress_bar()


def _check_free(folder: Path) -> None:
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise UserError(f"{folder} exists and is not an empty folder")


@contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """A draft that becomes `folder` at the end, or leaves nothing. Raises UserError where it cannot
    be written.
    """
    anchor = next(parent for parent in folder.absolute().parents if parent.exists())
    draft = anchor / f".{folder.name}.{os.getpid()}"
    try:
        draft.mkdir()
        yield draft
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft.rename(folder)
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
