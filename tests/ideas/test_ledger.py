"""The ledger of a home."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from ablab.errors import UserError
from ablab.fsck.ledger import check_ledger
from ablab.ideas.ledger import ALPHA, Attempt, Ledger, new_seeds
from ablab.records.home import make_home
from ablab.stats.inference.online import lond_level

ATTEMPT = Attempt("qk_norm", ("gpt2", "llama"), ("a1", "b1"), (1, 2, 3, 4), "rules")
EFFECTS = {"gpt2": {"estimate": -0.1, "low": -0.2, "high": 0.0, "verdict": "helps"}}


@pytest.fixture
def ledger(tmp_path):
    return Ledger(make_home(tmp_path / "home"))


def other(name):
    return replace(ATTEMPT, arms=(f"{name}1", f"{name}2"), change=name)


def test_levels_follow_the_decisions_before(ledger):
    first = ledger.register(ATTEMPT, "qk_norm")
    assert (first.number, first.level) == (1, lond_level(1, 0, ALPHA))
    assert first.study == "idea-0001-qk_norm"
    waiting = ledger.register(other("mqa"), "mqa")  # the first is not decided yet
    assert waiting.level == lond_level(2, 0, ALPHA)
    ledger.conclude(first, "keep", EFFECTS)
    ledger.conclude(waiting, "discard", {})
    third = ledger.register(other("rope"), "rope")
    assert (third.discoveries, third.level) == (1, lond_level(3, 1, ALPHA))
    decided = [(entry.attempt.change, entry.decision) for entry in ledger.entries()]
    assert decided == [("qk_norm", "keep"), ("mqa", "discard"), ("rope", None)]
    assert ledger.entries()[0].effects == EFFECTS


def test_the_same_attempt_is_entered_once(ledger):
    first = ledger.register(ATTEMPT, "qk_norm")
    concluded = ledger.conclude(first, "keep", EFFECTS)
    again = ledger.register(ATTEMPT, "qk_norm")
    assert again == concluded
    lines = len(ledger.path.read_text().splitlines())
    ledger.conclude(again, "keep", EFFECTS)
    assert len(ledger.path.read_text().splitlines()) == lines
    ledger.conclude(again, "discard", {})  # the runs were trained again
    assert [entry.decision for entry in ledger.entries()] == ["discard"]


def test_another_name_of_the_same_test_is_the_same_entry(ledger):
    first = ledger.register(ATTEMPT, "qk_norm")
    same = replace(ATTEMPT, change="+ qk_norm", contexts=("llama", "gpt2"), arms=("b1", "a1"))
    assert ledger.register(same, "other") == first


@pytest.mark.parametrize(
    "other_test",
    [
        {"seeds": (1, 2, 3, 4, 5, 6)},
        {"seeds": (4, 5, 6, 7)},
        {"arms": ("b1",), "contexts": ("llama",)},
        {"arms": ("b1", "c1"), "change": "another"},
        {"rules": "another margin"},
    ],
)
def test_another_test_of_the_same_runs_is_refused(ledger, other_test):
    entry = ledger.register(ATTEMPT, "qk_norm")
    other_attempt = replace(ATTEMPT, **other_test)
    with pytest.raises(UserError, match=r"entry 1 of the ledger is not finished: `ablab try"):
        ledger.register(other_attempt, "x")
    ledger.conclude(entry, "inconclusive", {})
    with pytest.raises(UserError, match=r"\(entry 1 of the ledger\).*`--again \d`"):
        ledger.register(other_attempt, "x")


def test_an_idea_is_tried_again_on_new_seeds(ledger):
    entry = ledger.register(ATTEMPT, "qk_norm")
    assert new_seeds(("a1",), ledger.entries(), 4) == [1, 2, 3, 4]  # it has no result yet
    ledger.conclude(entry, "inconclusive", {})
    seeds = new_seeds(("b1", "x"), ledger.entries(), 4)
    assert seeds == [5, 6, 7, 8]
    assert ledger.register(replace(ATTEMPT, seeds=tuple(seeds)), "qk_norm").number == 2
    assert new_seeds(("unknown",), ledger.entries(), 2) == [1, 2]


def test_the_ledger_of_another_home_is_refused(ledger, tmp_path):
    ledger.register(ATTEMPT, "qk_norm")
    stranger = Ledger(make_home(tmp_path / "other"))
    make_home(tmp_path / "other").create()
    shutil.copy(ledger.path, stranger.path)
    for use in (stranger.entries, lambda: stranger.register(other("mqa"), "mqa")):
        with pytest.raises(UserError, match="the ledger of another home"):
            use()
    (finding,) = check_ledger(make_home(tmp_path / "other"))
    finding.repair()
    assert stranger.entries() == []


def test_a_damaged_line_keeps_its_number(ledger):
    for name in ("a", "b", "c"):
        ledger.register(other(name), name)
    lines = ledger.path.read_text().splitlines(keepends=True)
    ledger.path.write_text("".join([*lines[:2], lines[2].replace('"c"', '"d"')]))
    assert [entry.number for entry in ledger.entries()] == [1, 2]
    assert ledger.damaged == 1
    (finding,) = check_ledger(ledger._home)
    assert finding.problem == "has 1 damaged line(s), which are ignored"
    finding.repair()
    assert list(check_ledger(ledger._home)) == []
    assert ledger.register(other("e"), "e").number == 4
    assert ledger.register(other("f"), "f").number == 5


def test_drivers_register_at_the_same_time(ledger):
    def register(i):
        return Ledger(ledger._home).register(other(f"idea{i}"), "x").number

    with ThreadPoolExecutor(8) as pool:
        numbers = sorted(pool.map(register, range(24)))
    assert numbers == list(range(1, 25))


def test_entries_in_json(ledger):
    entry = ledger.conclude(ledger.register(ATTEMPT, "qk_norm"), "keep", EFFECTS)
    content = json.loads(json.dumps(entry.as_json()))
    assert content["change"] == "qk_norm"
    assert content["decision"] == "keep"
    assert content["contexts"] == ["gpt2", "llama"]
