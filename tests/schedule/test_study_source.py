"""Several sources as one: whose run is whose, and who hears how it ended."""

from dataclasses import replace
from pathlib import Path

import pytest

from ablab.design.expand import parts_of
from ablab.plan.planner import Planner
from ablab.plan.study_file import StudyFile
from ablab.records.outcome import AttemptOutcome
from ablab.records.run_state import RunState
from ablab.schedule.factory import source_of
from ablab.schedule.source import FixedSource, ignore
from ablab.schedule.study_source import StudySource
from ablab.spec.study import load_study


class Heard(FixedSource):
    """A part's source that notes what it hears."""

    def __init__(self, source):
        self.plan, self.changed, self._root = source.plan, ignore, source._root
        self._waiting, self.seen, self.told = source._waiting, [], []

    def watch(self, running):
        self.seen.append([spec.part for spec in running])

    def ended(self, spec, report):
        self.told.append((spec.part, spec.seed, spec.arm, report.state))


@pytest.fixture
def joined(tmp_path, study_text, registry):
    """Two parts that want the same four runs, and a third with four of its own."""
    parts = "budgets: [{steps: 4}, {tokens: 256}, {steps: 8}]"
    (tmp_path / "x.yaml").write_text(
        study_text.replace("leave_one_out", "compare").replace("budget: {steps: 4}", parts)
    )
    study, document = load_study(tmp_path / "x.yaml", None, [])
    members = []
    for part in parts_of(study, document):
        file = StudyFile("x", part.study, part.document)
        planner = Planner(file, registry, part=part.label)
        members.append((part, Heard(source_of(planner, Path("/nowhere")))))
    return StudySource(members), [source for _, source in members]


def test_a_run_that_two_want_is_handed_out_once_and_both_hear_its_end(joined):
    source, (first, second, third) = joined
    handed = [source.next() for _ in range(8)]
    assert [spec.part for spec in handed] == ["steps 4"] * 4 + ["steps 8"] * 4
    assert source.next() is None
    assert source.done
    source.ended(handed[0], AttemptOutcome(RunState.FINISHED))
    assert first.told == [("steps 4", 1, "gpt2", "finished")]
    assert second.told == [("tokens 256", 1, "gpt2", "finished")]
    assert third.told == []


def test_a_run_that_finished_for_one_is_not_handed_out_for_another(joined):
    source, (_, second, _) = joined
    ended = []
    while (spec := source.next()) is not None:
        ended.append(spec.key)
        source.ended(spec, AttemptOutcome(RunState.FINISHED))
    assert len(ended) == len(set(ended)) == 8
    assert len(second.told) == 4


def test_a_run_that_ends_twice_is_told_twice_but_once_each(joined):
    source, (first, second, _) = joined
    spec = source.next()
    for status in ("failed", "finished"):  # given up, then taken up again
        source.ended(spec, AttemptOutcome(status))
    assert [status for *_, status in first.told] == ["failed", "finished"]
    assert second.told == []


def test_each_part_watches_its_own_under_its_own_name(joined):
    source, (first, second, third) = joined
    handed = [source.next() for _ in range(8)]
    source.watch([handed[0], handed[7]])
    assert (first.seen, second.seen, third.seen) == ([["steps 4"]], [["tokens 256"]], [["steps 8"]])


def test_what_a_part_decides_shows_in_the_whole(joined):
    source, (_, _, third) = joined
    heard = []
    source.changed = heard.append
    assert (source.plan.expected.runs, len(source.plan.unique)) == (8, 8)
    third.plan = replace(third.plan, runs=(), expected=replace(third.plan.expected, runs=5))
    third.changed(third.plan)
    assert [(plan.expected.runs, len(plan.unique)) for plan in heard] == [(9, 4)]
    assert source.plan is heard[0]
    arms = source.plan.arm_of
    assert {arms[key].steps for key in source.plan.unique} == {4}
