"""A study with nuisance factors, from its file to the report."""

import pytest

from ablab.analysis.summarise import summarise
from ablab.report.files import write_files
from ablab.report.footnotes import footnotes, part_footnotes
from ablab.report.sentences import sentence
from tests.report.pages import without_term_links
from tests.schedule.test_adaptive_seeds import noise
from tests.standin import carry_out

ARMS = "arms: {base: gpt2, gated: gpt2 + swiglu, far: gpt2 + rope}\n"
NUISANCE = 'nuisance: {init: ["", "width_init"], recipe.warmup: [0.1, 0.3]}\n'


def response(spec):
    """swiglu hurts with the families' init and helps with the other; rope helps with both."""
    plugins = dict(spec.plugins)
    gated = 0.0
    if "swiglu" in plugins:
        gated = -0.3 if "width_init" in plugins else 0.3
    warmed = 0.5 * (spec.recipe["warmup"] < 0.2)  # the same for all arms
    return 3.0 + gated + warmed - 0.5 * ("rope" in plugins) + noise(spec)


@pytest.fixture
def carried_out(tmp_path, study_text):
    text = study_text.replace("from: gpt2\nto: llama\n", ARMS).replace("leave_one_out", "compare")

    def run(seeds):
        file = tmp_path / "x.yaml"
        file.write_text(text.replace("seeds: 2", f"seeds: {seeds}") + NUISANCE)
        session, executor, _ = carry_out(file, tmp_path / "home", response)
        return session.record, executor

    return run


def test_a_verdict_that_depends_names_the_factor_and_its_levels(carried_out):
    record, _ = carried_out("8")
    summary = summarise(record)
    (part,) = summary.parts
    gated, far = part.effects
    assert (gated.verdict, far.verdict) == ("depends", "helps")
    text = sentence(gated, part.metric)
    assert text.startswith("gated depends on init: +0.3")
    assert " at no plugin, -0.3" in text
    assert " at width_init (p " in text
    assert "; over the range " in text
    (at_init, at_warmup) = gated.dependences
    assert at_init.depends
    assert not at_warmup.depends
    assert gated.high is not None
    assert gated.low is not None
    assert gated.low < 0 < gated.high  # the interval speaks for the range
    lines = [*footnotes(summary), *part_footnotes(summary, part)]
    assert any(
        line.startswith("nuisance factor init (no plugin and width_init, spread over the seeds): ")
        and "on which depend: gated" in line
        for line in lines
    )
    assert any("recipe.warmup (0.1 and 0.3" in line and "no verdict" in line for line in lines)
    files = {file.suffix: file for file in write_files(summary, record)}
    for suffix in (".html", ".md"):
        assert "depends on init" in without_term_links(files[suffix].read_text())
    assert '"verdict": "depends"' in files[".json"].read_text()


def test_an_adaptive_study_looks_where_levels_are_balanced(carried_out):
    record, executor = carried_out("{start: 8, max: 16}")
    (part,) = summarise(record).parts
    assert part.looks == (8, 12, 16)
    seeds = {arm: {s.seed for s in executor.trained if s.arm == arm} for arm in ("gated", "far")}
    assert len(seeds["gated"]) == 16  # inconclusive over the range
    assert [effect.verdict for effect in part.effects] == ["depends", "helps"]
