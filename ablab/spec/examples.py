"""The example studies, which are installed with the package and run by name."""

from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path

from ablab.errors import UserError

_PACKAGE = "ablab_studies"


def examples() -> dict[str, Path]:
    """Return the files of the example studies by name, sorted."""
    folder = Path(str(files(_PACKAGE)))
    return {file.stem: file for file in sorted(folder.glob("*.yaml"))}


def study_file(word: Path) -> Path:
    """Return the study file that a word on the command line means: a path, or an example's name.

    Raises:
        UserError: if there is neither.

    """
    if word.is_file():
        return word
    known = examples()
    if str(word) in known:
        return known[str(word)]
    if word.stem in known:
        hint = f" (`{word.stem}` alone is the example of this name)"
    elif close := get_close_matches(word.stem, known, n=1):
        hint = f" (did you mean the example {close[0]!r}?)"
    else:
        hint = "" if word.suffix else " (`ablab studies --examples` lists those that have names)"
    raise UserError(f"{word}: no such study file{hint}")
