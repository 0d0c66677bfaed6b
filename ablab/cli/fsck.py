"""`ablab fsck`: check the files of a home."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from ablab.cli.options import HomeDir
from ablab.errors import UserError

if TYPE_CHECKING:
    from ablab.fsck.finding import Finding

Repair = Annotated[
    bool, typer.Option("--repair", help="Set damaged files aside, and add missing digests.")
]


def fsck(repair: Repair = False, home: HomeDir = None) -> None:
    """Check the files of a home against their digests, and print what is wrong.

    Exit status: 0 if nothing is wrong or everything was repaired, else 1.
    """
    from ablab.fsck.check import check_home, repair_home
    from ablab.records.home import make_home

    home_folder = make_home(home)
    if not home_folder.root.is_dir():
        raise UserError(f"there is no home in {home_folder.root}")
    if repair:
        count = repair_home(home_folder, lambda finding: _print(finding, "repaired"))
        summary = f"{home_folder.root}: {count} fault(s) repaired"
        print(summary if count else _sound(home_folder.root))
        return
    findings = list(check_home(home_folder))
    for finding in findings:
        _print(finding, "`ablab fsck --repair` would")
    if not findings:
        print(_sound(home_folder.root))
        return
    print(f"{home_folder.root}: {len(findings)} fault(s)")
    sys.exit(1)


def _print(finding: "Finding", verb: str) -> None:
    print(f"{finding.path} {finding.problem}\n  {verb}: {finding.remedy}", flush=True)


def _sound(root: object) -> str:
    return f"{root}: all files are as they were written"
