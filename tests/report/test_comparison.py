"""Two studies side by side, and the command that shows one or two."""

import json
import re
import stat
import subprocess
import sys
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from ablab.analysis.comparison import compare
from ablab.analysis.summarise import summarise
from ablab.cli.app import exit_status
from ablab.report.comparison.page import write_comparison
from ablab.report.comparison.terminal import print_comparison
from tests.conftest import command, environment
from tests.handmade import make_study, only_part
from tests.report.pages import without_term_links


@pytest.fixture(scope="module")
def found(studies):
    return compare(*map(summarise, studies))


@pytest.fixture
def ask(studies, monkeypatch, capsys):
    """`ablab report` in this process, on the home of both: status, stdout, stderr."""

    def call(*arguments):
        for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("COLUMNS", "80")
        monkeypatch.setattr(
            sys, "argv", ["ablab", "report", *arguments, "--home", str(studies[0].home.root)]
        )
        return exit_status(), *capsys.readouterr()

    return call


def test_effects_are_matched_and_differences_found(found, studies):
    tuned, untuned = (summarise(record).parts[0] for record in studies)
    rope = next(pair for pair in found.effects if pair.name == "rope")
    assert rope.first == next(e for e in tuned.effects if e.name == "rope")
    assert rope.second == next(e for e in untuned.effects if e.name == "rope")
    words = {(p.first.verdict == p.second.verdict, p.agreement) for p in found.effects}
    assert words == {(True, "same"), (False, "differs")}
    settings = {d.setting: (d.first, d.second) for d in found.differences}
    assert settings["seeds"] == ("5", "4")
    assert settings["tune.lr"] == ("0.0005, 0.001, 0.002, 0.004, 0.008", "–")
    assert "budget.flops" not in settings


def test_it_fits_a_terminal(found):
    console = Console(width=80, record=True, file=StringIO())
    print_comparison(found, console)
    text = console.export_text()
    assert all(len(line) <= 80 for line in text.splitlines())
    assert re.search(r"│ rope +│ +-0\.\d+ │ helps +│ +-0\.\d+ │ helps", text)


def test_the_page_says_both_and_asks_for_nothing(found, studies):
    page = write_comparison(found, *studies).read_text()
    assert not re.search(r"(?:src|href)=[\"'](?!#|data:text/csv)|url\((?!#)|@import", page)
    assert "tuned beside untuned" in page
    assert 'id="pairs"' in page
    assert page.count("<tr>") > 30


def text_of(found):
    console = Console(width=80, record=True, file=StringIO())
    print_comparison(found, console)
    return " ".join(console.export_text().split())


def with_part(record, **fields):
    """Return the summary of a study as if its only part had other values."""
    summary = summarise(record)
    (part,) = summary.parts
    return replace(summary, parts=[replace(part, **fields)])


def with_content(record, **fields):
    """Return the summary of a study as if the record had said something else of its only part."""
    (part,) = summarise(record).parts
    return with_part(record, content=replace(part.content, **fields))


def test_other_metrics_are_on_no_axis_together(studies):
    first, second = studies
    study = make_study(**{**only_part(second).study.content(), "metric": "val/loss"})
    found = compare(summarise(first), with_content(second, study=study))
    assert found.effects == []
    why = "Effects are not compared: tuned is judged by val/bpb, untuned by val/loss."
    assert found.as_json()["notes"] == [why]
    assert why in text_of(found)
    assert "Effect on" not in text_of(found)
    page = write_comparison(found, *studies).read_text()
    assert why in without_term_links(page)
    assert 'id="pairs"' not in page
    assert "tuned, val/bpb</th>" in page
    assert "untuned, val/loss</th>" in page


def test_no_agreement_is_told_where_an_effect_is_of_other_arms(found, studies):
    first, second = studies
    part = only_part(second)
    weights = {"llama": 1.0, "gpt2": -1.0}
    contrasts = [replace(c, weights=weights) if c.name == "rope" else c for c in part.contrasts]
    study = make_study(**{**part.study.content(), "design": {"kind": "one_in"}})
    unlike = compare(
        summarise(first),
        with_content(second, study=study, contrasts=tuple(contrasts), baseline="llama"),
    )
    words = {pair.name: pair.agreement for pair in unlike.effects}
    assert words["rope"] == "–"
    assert {name: word for name, word in words.items() if name != "rope"} == {
        pair.name: pair.agreement for pair in found.effects if pair.name != "rope"
    }
    (why,) = unlike.notes
    assert "(tuned: fractional_factorial, baseline gpt2; untuned: one_in, baseline llama)" in why
    assert why in text_of(unlike)
    assert found.notes == []


def test_arms_are_known_by_what_they_are_not_by_their_names(found, studies):
    first, second = studies
    part = only_part(second)
    names = {arm.name: f"arm {i}" for i, arm in enumerate(part.arms)}
    arms = [replace(arm, name=names[arm.name]) for arm in part.arms]
    contrasts = [
        replace(c, weights={names[arm]: w for arm, w in c.weights.items()}) for c in part.contrasts
    ]
    renamed = compare(
        summarise(first), with_content(second, arms=tuple(arms), contrasts=tuple(contrasts))
    )
    assert [pair.agreement for pair in renamed.effects] == [
        pair.agreement for pair in found.effects
    ]


def test_what_the_other_calls_otherwise_goes_by_what_it_contrasts(found, studies):
    first, second = studies
    (part,) = summarise(second).parts
    contrasts, effects = (
        [replace(e, name="mine") if e.name == "rope" else e for e in every]
        for every in (part.content.contrasts, part.effects)
    )
    content = replace(part.content, contrasts=tuple(contrasts))
    renamed = compare(summarise(first), with_part(second, content=content, effects=effects))
    assert [pair.name.replace("rope = mine", "rope") for pair in renamed.effects] == [
        pair.name for pair in found.effects
    ]
    assert [pair.agreement for pair in renamed.effects] == [
        pair.agreement for pair in found.effects
    ]
    assert "rope = mine" in text_of(renamed)


def test_the_command_sets_two_side_by_side(ask):
    status, out, _ = ask("tuned", "untuned")
    assert status == 0
    assert "What differs between the studies" in out
    content = json.loads(ask("tuned", "untuned", "--json")[1])
    assert [study["study"] for study in content["studies"]] == ["tuned", "untuned"]


def test_a_file_with_settings_beside_a_file(ask, studies, tmp_path):
    file = studies[0].home.root.parent / "tuned.yaml"
    status, _, errors = ask(str(file), str(file.with_name("untuned.yaml")), "seeds=7")
    assert status == 2
    assert "has not been run" in errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tuned", "untned"), "no study named 'untned' (did you mean 'untuned'"),
        (
            ("tuned", "untuned", "tuned"),
            "one study, or two side by side, not 3 (settings are KEY=VALUE)",
        ),
        (("tuned", "tuned"), "is named twice: nothing to compare"),
        (("tuned", "seeds=3"), "overrides go with a study file"),
        (("tunde",), "no study named 'tunde' (did you mean 'tuned'"),
    ],
)
def test_bad_input_is_one_clear_line(ask, arguments, message):
    status, out, errors = ask(*arguments)
    assert (status, out) == (2, "")
    assert message in errors.splitlines()[-1]
    assert "Traceback" not in errors


@pytest.mark.slow
def test_a_browser_is_opened_where_there_is_one(studies, tmp_path):
    browser, asked = tmp_path / "browser", tmp_path / "asked"
    browser.write_text(f'#!/bin/sh\necho "$1" > {asked}\n')
    browser.chmod(browser.stat().st_mode | stat.S_IXUSR)
    line = [*command("report", "tuned", "untuned", "--open"), "--home", str(studies[0].home.root)]
    env = environment() | {"BROWSER": f"{browser} %s"}
    result = subprocess.run(line, capture_output=True, text=True, env=env, check=False, timeout=240)
    assert result.returncode == 0, result.stderr
    assert asked.read_text().strip() == f"file://{result.stdout.split('report: ')[1].strip()}"


def test_without_a_browser_the_report_is_written_all_the_same(ask):
    status, out, _ = ask("tuned", "untuned", "--open")
    assert status == 0
    assert out.endswith("no browser here: open the file by hand\n")
