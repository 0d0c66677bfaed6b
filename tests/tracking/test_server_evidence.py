"""Contrasts on a team's server."""

from dataclasses import replace

import pytest

from ablab.evidence.gather import distinct, gather
from ablab.records.home import make_home
from ablab.records.run_spec import RunSpec
from ablab.tracking.mlflow.evidence import read_evidence
from tests.conftest import STUDY
from tests.standin import StandIn, noise_seed
from tests.tracking.stores import carry_out, local

# MLflow's and SQLAlchemy's own warnings, where the store is read in this process.
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]

TEXT = STUDY.replace("leave_one_out", "compare").replace("to: llama", "to: gpt2 + rope")


def noisy(spec: RunSpec) -> float:
    """RoPE helps by 0.3, give or take a hundredth."""
    return 3.0 - 0.3 * ("rope" in dict(spec.plugins)) + 0.01 * (noise_seed(spec) % 997) / 997


@pytest.mark.parametrize(("seeds", "count"), [(4, 1), (2, 0)])
def test_a_study_on_a_server_is_evidence_as_in_its_home(tmp_path, corpus, seeds, count):
    file = tmp_path / "x.yaml"
    file.write_text(TEXT.replace("seeds: 2", f"seeds: {seeds}").format(corpus=corpus))
    carry_out(file, tmp_path / "home", lambda root, _: StandIn(root, noisy))
    at_home, _ = gather([make_home(tmp_path / "home")])
    found, left_out = read_evidence(local(tmp_path))
    assert len(found) == len(at_home) == count
    assert len(left_out) == 1 - count
    for server, home in zip(found, at_home, strict=True):
        assert server.estimate == pytest.approx(home.estimate, rel=1e-5)
        assert server.setting == home.setting
        assert server.runs.keys() == home.runs.keys()
        assert replace(server.origin, server="") == home.origin
    # Seen in both, it counts once.
    assert len(distinct([*at_home, *found])) == count
