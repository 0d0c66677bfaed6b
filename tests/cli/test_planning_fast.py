"""A plan imports what it needs, and what its home has counted is not counted again."""

import json
import subprocess
import sys

import pytest

from ablab.execute.session import Request, Session, planned
from ablab.records.home import make_home
from tests.conftest import environment
from tests.standin import Silent

pytestmark = pytest.mark.slow

NEVER = ("mlflow", "optuna", "lightning", "matplotlib", "datasets")
# What torch's kernels for the meta device import: there is no counting without it.
COUNTING = "torch._dynamo"


def loaded(tmp_path, *arguments):
    """What the command prints, and the modules that it has imported at its end."""
    code = (
        "import json, sys\nfrom ablab.cli.commands import app\napp(sys.argv[2:], "
        "standalone_mode=False)\n"
        "json.dump(sorted(sys.modules), open(sys.argv[1], 'w'))\n"
    )
    file = tmp_path / "modules.json"
    started = [sys.executable, "-c", code, str(file), *map(str, arguments)]
    done = subprocess.run(
        started, cwd=tmp_path, check=True, capture_output=True, text=True, env=environment()
    )
    return done.stdout, set(json.loads(file.read_text()))


def test_a_plan_imports_no_more_than_it_needs_and_counts_only_what_its_home_has_not(
    tmp_path, study_text
):
    file = tmp_path / "x.yaml"
    file.write_text(study_text.replace("leave_one_out", "fractional_factorial, resolution: 4"))
    asked = ("plan", file, "--json", "--home", tmp_path / "home")
    first, modules = loaded(tmp_path, *asked)
    assert modules.isdisjoint(NEVER)
    assert COUNTING in modules
    assert not (tmp_path / "home").exists()

    home = make_home(tmp_path / "home")
    Session(planned(Request(file, None, (), ()), home.root), home, Silent()).write()
    resumed, modules = loaded(tmp_path, *asked)
    assert resumed == first
    assert modules.isdisjoint((*NEVER, COUNTING))
