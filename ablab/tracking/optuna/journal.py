"""The journal file of Optuna's view of a study."""

import json
from pathlib import Path


def journal_damage(path: Path) -> str:
    """Return what is wrong with a journal, which has one JSON object per line; empty if nothing is,
    or if there is none.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return ""
    if content and not content.endswith(b"\n"):
        return "its last line is cut off"
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            entry = json.loads(line)
        except ValueError:  # neither JSON nor UTF-8
            return f"line {number} is not JSON"
        if not isinstance(entry, dict) or "op_code" not in entry:
            return f"line {number} is no entry of a journal"
    return ""
