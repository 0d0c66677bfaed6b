"""The study that tries an idea: a protocol's study file with the idea as its design."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablab.errors import UserError
from ablab.spec.examples import study_file
from ablab.spec.study import Study, load_study
from ablab.spec.yaml_document import to_yaml

DEFAULT = Path("ideas")
"""Name of the example study that is the default protocol."""
_OF_OTHER_DESIGNS = ("from", "to", "arms", "notes", "helps_level")


@dataclass(frozen=True)
class Protocol:
    """How ideas are tried: everything in a study file but its arms and its design."""

    values: Mapping[str, Any]
    """The settings, as in a study file."""
    study: Study
    """The study that the file itself asks for."""
    source: str
    """The file, its profile and the settings that override it, in words."""

    @property
    def contexts(self) -> tuple[str, ...]:
        """The models that the protocol's own study makes its changes to; empty for another
        design.
        """
        return tuple(getattr(self.study.design, "contexts", ()))

    def settings(self, change: str, contexts: Sequence[str], seeds: Any = None) -> dict[str, Any]:
        """Return the study of an idea as the mapping of a study file. `seeds` replace those of the
        protocol unless they are None.
        """
        kept = {key: value for key, value in self.values.items() if key not in _OF_OTHER_DESIGNS}
        question = f"Does {change} help {' and '.join(contexts)}?"
        design = {"kind": "contexts", "contexts": list(contexts), "changes": [change]}
        settings = {**kept, "question": question, "design": design}
        return settings if seeds is None else {**settings, "seeds": seeds}


def read_protocol(file: Path, profile: str | None, overrides: Sequence[str]) -> Protocol:
    """Return the protocol in a study file, or in an example's.

    Raises:
        UserError: if the file is invalid, or asks for several budgets or scales, or for a search.

    """
    path = study_file(file)
    study, document = load_study(path, profile, overrides)
    for key in ("budgets", "scales"):
        if getattr(study, key) is not None:
            raise UserError(f"{path}: {key}: ideas are tried at one budget and scale")
    words = [str(file), *(["--profile", profile] if profile else []), *overrides]
    return Protocol(document.values, study, " ".join(words))


def study_text(settings: Mapping[str, Any], comment: Sequence[str]) -> str:
    """Return the text of a study file, which begins with lines of comment."""
    return "".join(f"# {line}\n" for line in comment) + to_yaml(settings)
