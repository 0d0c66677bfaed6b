"""The committed evidence, and the page that is generated from it."""

from pathlib import Path

import pytest

from ablab.errors import UserError
from ablab.evidence.gather import distinct
from ablab.evidence.pooling import evidence_on
from ablab.evidence.table import CONTRASTS, read_table, write_table
from ablab.metrics import study_metrics
from ablab.report.meta.findings import ORDER, findings_text
from ablab.report.meta.study_results import STUDIES, read_results
from ablab.spec.study import load_study
from ablab.stats.inference.limits import MIN_SEEDS
from ablab.train.numerics import NUMERICS_VERSION
from tests.evidence.contrasts import make_contrast

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "evidence"
MAX_BYTES = 200_000  # of a table that is committed


@pytest.fixture(scope="module")
def studies():
    files = sorted((ROOT / "studies").glob("*.yaml"))
    return {file.stem: load_study(file, None, [])[0] for file in files}


def test_the_table_has_sound_contrasts_of_this_version_of_the_numerics():
    contrasts = read_table(FOLDER)
    assert {contrast.origin.numerics for contrast in contrasts} == {NUMERICS_VERSION}
    assert {contrast.metric for contrast in contrasts} <= {*study_metrics()}
    assert len(distinct(contrasts)) == len(contrasts)
    for contrast in contrasts:
        assert contrast.low < contrast.estimate < contrast.high
        assert contrast.seeds >= MIN_SEEDS
        assert contrast.runs
        assert abs(sum(contrast.runs.values())) < 1e-4  # weights of a contrast add up to zero
        assert contrast.origin.version
        assert contrast.origin.commit


def test_the_files_are_small():
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < MAX_BYTES


def test_the_results_are_of_the_studies_as_they_are(studies):
    results = read_results(FOLDER)
    assert results
    for result in results:
        assert result.origin.numerics == NUMERICS_VERSION
        study = studies[result.origin.study]
        assert result.origin.revision == study.revision()
        assert result.question == study.question


def test_the_page_is_what_is_generated(studies):
    page = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    assert page == findings_text(FOLDER, studies), "run `make findings`"


def test_every_change_and_every_note_stands_on_the_page(studies):
    page = " ".join((ROOT / "docs" / "findings.md").read_text(encoding="utf-8").split())
    for evidence in evidence_on(read_table(FOLDER)):
        assert f"| {evidence.change} |" in page
    for study in studies.values():
        for note in study.notes:
            assert " ".join(note.split()) in page


def test_a_conflict_is_named_on_the_page(tmp_path, studies):
    for name in (STUDIES, ORDER, "opening.md", "closing.md"):
        (tmp_path / name).write_bytes((FOLDER / name).read_bytes())
    pair = [make_contrast(-0.1), make_contrast(0.1, setting_context="llama", origin_study="y")]
    write_table(tmp_path, pair)
    text = " ".join(findings_text(tmp_path, studies).split())
    assert "Conflict: rope helps in x (gpt2), and hurts in y (llama)." in text
    assert "the block around it (helps: gpt2; hurts: llama)" in text


@pytest.mark.parametrize("missing", [CONTRASTS, STUDIES, "opening.md", ORDER])
def test_a_file_that_is_missing_is_named(tmp_path, studies, missing):
    for file in FOLDER.iterdir():
        if file.name != missing:
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(UserError, match=missing):
        findings_text(tmp_path, studies)
