"""A study file that has been read, and where it says what."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablab.errors import UserError
from ablab.spec.study import Study
from ablab.spec.yaml_document import Document


@dataclass(frozen=True)
class StudyFile:
    """A study file that has been read, with the name of the study.

    `excluded` are files and folders that are no part of its corpus.
    """

    name: str
    study: Study
    document: Document
    excluded: tuple[Path, ...] = ()

    def arm_position(self, arm: str) -> str:
        """Return the position at which the file defines an arm."""
        if self.study.arms is not None:
            return self.document.place(["arms", arm])
        for key, text in (("from", self.study.from_), ("to", self.study.to)):
            if text == arm:
                return self.document.place([key])
        return self.document.place(["design"])

    @contextmanager
    def errors_of_arm(self, arm: str) -> Iterator[None]:
        """Prepend the name and the position of an arm to any UserError raised in the context."""
        try:
            yield
        except UserError as error:
            label = f"arms.{arm}" if self.study.arms is not None else f"arm {arm!r}"
            raise error.at(f"{self.arm_position(arm)}: {label}") from None

    def recipe_source(self, key: str, options: Mapping[str, Any]) -> tuple[str, str]:
        """Return the position and the name of what sets a key of the recipe.

        `options` are those of a trial; a key among them is set by `tune`, any other by `recipe`.
        """
        if key not in options:
            return self.document.place(["recipe", key]), f"recipe.{key}"
        path = ["tune", key]
        candidates = getattr(self.study.tune, key, None)
        if isinstance(candidates, list) and options[key] in candidates:
            path.append(str(candidates.index(options[key])))
        return self.document.place(path), f"tune.{key}"
