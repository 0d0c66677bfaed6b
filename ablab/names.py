"""What names and texts from files and the command line may contain.

Every name that enters passes here, so that none leaves its folder or is taken by a terminal for a
command. What a name is not refused for here, it may not fail for later.
"""

import re
import unicodedata
from pathlib import Path

from ablab.errors import UserError

PILOT = "pilot"  # the profile, or the end of its name, under which a pilot's runs are kept
MAX_NAME = 100
MAX_BYTES = 200
# Characters that are special in paths, in addresses, in a shell's patterns, and in the names of
# revisions (`NAME:REVISION`) and profiles (`NAME@PROFILE`).
_SPECIAL = set("/\\:?%#@*\"'`<>|$;&!")
# A plugin, family or recipe: a word of a model expression.
_WORD = re.compile(r"[A-Za-z_]\w*")
# Characters that reorder the text around them, so that it reads as something else.
_REORDERING = {*map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A))}
_LINE_ENDS = {"\t", "\n"}


def _is_printable(character: str) -> bool:
    # Unlike str.isprintable, which refuses the joiners of emoji and some scripts.
    category = unicodedata.category(character)
    return category not in ("Cc", "Cs", "Zl", "Zp") and character not in _REORDERING


def require_printable(text: str, *, lines: bool = True) -> None:
    """Raise UserError for control characters, which a terminal would carry out.

    Ends of lines and tabs are accepted where `lines` is true.
    """
    for position, character in enumerate(text, start=1):
        if not (_is_printable(character) or (lines and character in _LINE_ENDS)):
            raise UserError(f"control character U+{ord(character):04X} (character {position})")


def printable(text: str) -> str:
    """Return `text` with control characters escaped, for the terminal."""
    return "".join(
        character
        if _is_printable(character) or character in _LINE_ENDS
        else character.encode("unicode_escape", "backslashreplace").decode("ascii")
        for character in text
    )


def require_file_name(kind: str, name: str) -> str:
    """Return a name that files are named by: a study's or a profile's.

    Raises UserError for anything that is not safe as a file name on any machine, and within
    `NAME@PROFILE:REVISION`.
    """
    _require_name(kind, name)
    special = sorted(_SPECIAL & set(name))
    if special:
        raise UserError(f"{kind} {name!r}: no {' or '.join(special)} in a name")
    if name[0] in "-.~" or name[-1] == ".":
        raise UserError(f"{kind} {name!r}: a name begins with no -, . or ~, and ends with no .")
    if len(name.encode()) > MAX_BYTES:
        raise UserError(f"{kind} {_beginning(name)}: at most {MAX_BYTES} bytes make a name")
    return name


def require_profile(name: str) -> str:
    """Return the name of a profile. Raises UserError for a name that no profile can have."""
    require_file_name("profile", name)
    if name == PILOT or name.endswith(f"-{PILOT}"):
        raise UserError(f"profile {name!r}: the name is that of a pilot's runs: name it otherwise")
    return name


def require_label(kind: str, name: str) -> str:
    """Return a name that is shown, and names no file: an arm's or a factor's.

    Raises UserError for control characters, and for a name that is empty or too long.
    """
    _require_name(kind, name)
    return name


def require_word(kind: str, name: str) -> str:
    """Return the name of a plugin, family or recipe. Raises UserError if it is no single word."""
    _require_name(kind, name)
    if not _WORD.fullmatch(name):
        raise UserError(
            f"{kind} {name!r}: a name has letters, digits and _, and begins with none of the digits"
        )
    return name


def component(name: str) -> str:
    """Return `name`, which is one component of a path below a home.

    Raises UserError if it is another path: the records of a home may be damaged or a stranger's.
    """
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise UserError(f"{name!r} is not the name of a file in a home")
    return name


def study_name(file: Path) -> str:
    """Return the name of the study in `file`. Raises UserError for a file that cannot name one."""
    try:
        return require_file_name("study", file.stem)
    except UserError as error:
        raise UserError(f"{printable(str(file))}: {error}; rename the file") from None


def _require_name(kind: str, name: str) -> None:
    if not name.strip():
        raise UserError(f"{kind} {name!r}: the name is empty")
    if len(name) > MAX_NAME:
        raise UserError(f"{kind} {_beginning(name)}: at most {MAX_NAME} characters make a name")
    try:
        require_printable(name, lines=False)
    except UserError as error:
        raise UserError(f"{kind} {name!r}: {error} in a name") from None
    if name != name.strip():
        raise UserError(f"{kind} {name!r}: the name begins or ends with a space")


def _beginning(name: str) -> str:
    return repr(name[:20] + "…")
