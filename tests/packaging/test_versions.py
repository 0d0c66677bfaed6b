"""The version of the package, of the changelog and of the citation is one."""

import re
from datetime import date
from pathlib import Path

import ablab

ROOT = Path(__file__).parents[2]
HEADING = re.compile(r"^## (\d+\.\d+\.\d+) \((\d{4}-\d{2}-\d{2})\)$", re.MULTILINE)


def test_the_changelog_has_the_version_and_its_date():
    releases = HEADING.findall((ROOT / "CHANGELOG.md").read_text())
    assert releases[0][0] == ablab.__version__
    dates = [date.fromisoformat(day) for _, day in releases]
    assert dates == sorted(dates, reverse=True)


def test_the_citation_is_of_this_version():
    text = (ROOT / "CITATION.cff").read_text()
    (_, day), *_ = HEADING.findall((ROOT / "CHANGELOG.md").read_text())
    assert f"version: {ablab.__version__}\n" in text
    assert f"date-released: {day}\n" in text
