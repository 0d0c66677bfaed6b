"""The public suite for run sources, on the lab's own."""

import pytest

from ablab.plan.planner import Planner
from ablab.plan.study_file import StudyFile
from ablab.schedule.adaptive_seeds import AdaptiveSeedsSource
from ablab.schedule.factory import source_of, study_source
from ablab.schedule.search import SearchSource
from ablab.schedule.source import FixedSource
from ablab.schedule.study_source import StudySource
from ablab.schedule.tuning import TuningSource
from ablab.spec.study import load_study
from ablab.testing.sources import SourceConformance
from tests.standin import StandIn, noise_seed

pytestmark = pytest.mark.slow


def response(spec):
    """rope helps more than noise hides; learning rates differ a little."""
    noise = 0.01 * (noise_seed(spec) % 7)
    return 3.0 - 0.5 * ("rope" in dict(spec.plugins)) + spec.recipe["lr"] + noise


class Conformance(SourceConformance):
    """`kind` is the source that a study with these changes must have."""

    kind = FixedSource
    changes: tuple[tuple[str, str], ...] = ()
    more = ""

    @pytest.fixture
    def make_source(self, tmp_path, study_text, registry):
        text = study_text.replace("leave_one_out", "compare")
        for before, after in self.changes:
            assert before in text
            text = text.replace(before, after)
        (tmp_path / "x.yaml").write_text(text + self.more)

        def make(root):
            study, document = load_study(tmp_path / "x.yaml", None, [])
            if self.kind is StudySource:
                return study_source(StudyFile("x", study, document), registry, root)
            source = source_of(Planner(StudyFile("x", study, document), registry), root)
            assert type(source) is self.kind
            return source

        return make

    def train(self, root, spec):
        StandIn(root, response).submit(spec)


class TestListed(Conformance):
    pass


class TestGrowing(Conformance):
    kind = AdaptiveSeedsSource
    changes = (("seeds: 2", "seeds: {start: 4, max: 6, until: decided}"),)


class TestTuned(Conformance):
    kind = TuningSource
    more = "tune: {lr: [1.0e-3, 2.0e-3, 4.0e-3], trials: 3}\n"


class TestSearched(Conformance):
    kind = SearchSource
    changes = (
        ("to: llama\n", ""),
        (
            "design: {kind: compare}",
            "design: {kind: search, factors: {position: [learned, rope, alibi], swiglu: {}}, "
            "trials: 5, at_once: 2, confirm: 2}",
        ),
    )


class TestStudySource(Conformance):
    kind = StudySource
    changes = (("budget: {steps: 4}", "budgets: [{steps: 4}, {tokens: 256}, {steps: 8}]"),)
