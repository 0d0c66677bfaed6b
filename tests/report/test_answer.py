"""The answer on one screen of the terminal."""

from io import StringIO

import pytest
from rich.console import Console

from ablab.analysis.summarise import summarise
from ablab.report.across_parts import turning_effects
from ablab.report.answer import print_answer
from tests.schedule.test_adaptive_seeds import noise
from tests.standin import carry_out


def shown(summary):
    console = Console(file=StringIO(), width=80)
    print_answer(summary, console)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_the_answer_fits_a_screen_and_the_largest_effect_comes_first(studies):
    record, _ = studies
    summary = summarise(record)
    text = shown(summary)
    lines = text.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert lines[1] == summary.question
    (part,) = summary.parts
    changes = [effect for effect in part.effects if effect.kind == "change"]
    by_size = sorted(changes, key=lambda effect: -abs(effect.estimate or 0.0))
    places = [text.index(f"\n {effect.name[:12]}") for effect in by_size]
    assert places == sorted(places)
    total = next(effect for effect in part.effects if effect.kind == "total")
    assert text.index(f"\n {total.name[:12]}") > places[-1]
    assert f"ablab report {summary.study}" in text
    assert "All this is for models of" in text


@pytest.mark.parametrize("kind", ["search"])
def test_a_search_is_printed_as_a_whole(tmp_path, study_text, kind):
    file = tmp_path / "x.yaml"
    text = study_text.replace("to: llama\n", "").replace(
        "{kind: leave_one_out}",
        f"{{kind: {kind}, changes: [rope, swiglu], trials: 3, share: 1, confirm: 1}}",
    )
    file.write_text(text)
    session, _, _ = carry_out(file, tmp_path / "home", lambda spec: 3.0 + noise(spec))
    assert "Arms (a run's parameters" in shown(summarise(session.record))


def test_an_effect_that_turns_with_the_budget_says_so(tmp_path, study_text):
    def response(spec):
        worth = -0.5 if spec.batches.steps < 8 else 0.5
        return 3.0 + noise(spec) + worth * ("rope" in dict(spec.plugins))

    arms = "arms: {base: gpt2, far: gpt2 + rope, near: gpt2 + rmsnorm}\n"
    text = study_text.replace("from: gpt2\nto: llama\n", arms).replace("leave_one_out", "compare")
    text = text.replace("budget: {steps: 4}", "budgets: [{steps: 4}, {steps: 8}]")
    file = tmp_path / "x.yaml"
    file.write_text(text.replace("seeds: 2", "seeds: 5"))
    session, _, _ = carry_out(file, tmp_path / "home", response)
    summary = summarise(session.record)
    (line,) = turning_effects(summary)
    assert line == "far depends on the budget: it helps at steps 4, hurts at steps 8"
    assert line in shown(summary)
