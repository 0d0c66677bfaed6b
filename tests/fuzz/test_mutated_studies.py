"""Whatever a study file or a command line says: a plan, or a refusal in lines with their places.

Either takes less than five seconds, and creates nothing.
"""

import io
import random
import subprocess
import time
from contextlib import redirect_stdout
from string import ascii_lowercase

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ablab.cli.plan import plan
from ablab.errors import UserError
from ablab.names import printable
from tests.conftest import command, environment
from tests.fuzz.forked import run_forked
from tests.fuzz.mutations import REGISTRY, studies, study_texts

MAX_SECONDS = 10  # twice what a plan may take, since machines differ
MAX_LINES = 21  # twenty errors, and the number of the others


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    draw = random.Random(0)
    words = ("".join(draw.choices(ascii_lowercase, k=draw.randrange(2, 9))) for _ in range(10_000))
    (folder / "corpus.txt").write_text("\n".join(words))
    # The times of imports are not measured, which depend on what else the machine does.
    for number, text in enumerate(study_texts(str(folder / "corpus.txt"))):
        (folder / f"{number}.yaml").write_text(text)
        with redirect_stdout(io.StringIO()):
            plan(folder / f"{number}.yaml", home=folder / "home")
    return folder


def counted(examples):
    """Run a test on as many examples. Those of CI are the same each time."""
    return settings(
        max_examples=examples,
        derandomize=examples <= 2_000,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def require_lines(text):
    """Fail unless `text` is that of a refusal."""
    lines = text.splitlines()
    assert 0 < len(lines) <= MAX_LINES, text
    for line in lines:
        assert line.strip()
        assert len(line) < 3000
        assert line.isprintable() or line == printable(line)
    assert "Traceback" not in text


def plans_or_refuses(folder, example):
    """Plan an example as `ablab plan` does. Return whether it is a valid study."""
    text, overrides, profile = example
    home = folder / "study" / "home"
    file = folder / "study" / "x.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    begin = time.process_time()
    refusal = None
    with redirect_stdout(io.StringIO()) as output:
        try:
            plan(file, overrides, profile, home=home)
        except UserError as error:
            refusal = str(error)
    assert time.process_time() - begin < MAX_SECONDS
    assert [path.name for path in file.parent.iterdir()] == ["x.yaml"]
    if refusal is None:
        assert "to train" in output.getvalue()
    else:
        require_lines(printable(refusal))
    return refusal is None


def check_many(folder, monkeypatch, examples):
    """Plan so many mutated studies, some of which are valid."""
    # Reading the registry takes longer than reading most of the files.
    monkeypatch.setattr("ablab.execute.request.load_registry", lambda folders: REGISTRY)
    monkeypatch.chdir(folder)
    valid = []

    @counted(examples)
    @given(studies(str(folder / "corpus.txt")))
    def check(example):
        valid.append(plans_or_refuses(folder, example))

    check()
    assert sum(valid) > len(valid) / 50


@pytest.mark.slow
def test_2000_mutated_studies(folder, monkeypatch):
    check_many(folder, monkeypatch, 2_000)


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_20000_mutated_studies(folder, monkeypatch):
    check_many(folder, monkeypatch, 20_000)


def arguments(folder, example):
    text, overrides, profile = example
    file = folder / "x.yaml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    chosen = [] if profile is None else ["--profile", profile]
    # A null byte or half a character cannot be given on a command line.
    safe = [word.replace("\0", "") for word in overrides]
    safe = [word.encode("utf-8", "ignore").decode() for word in safe]
    return ["plan", "x.yaml", *chosen, "--", *safe]


def require_status(status, output, errors):
    """Fail unless a command ended with a plan or a refusal."""
    assert status in (0, 2), errors
    if status == 2:
        require_lines(errors)
        assert output == ""
    else:
        assert errors == ""


@pytest.mark.system
def test_95_mutated_commands(tmp_path, folder):
    """Each in a process of its own, which is forked from one that has imported the command."""

    @counted(95)
    @given(studies(str(folder / "corpus.txt")))
    def check(example):
        ended = run_forked(tmp_path, *arguments(tmp_path, example))
        require_status(*ended)
        assert [path.name for path in tmp_path.iterdir()] == ["x.yaml"]

    check()


@pytest.mark.system
def test_5_mutated_commands(tmp_path, folder):
    """Each in a process that imports everything itself."""
    examples = []

    @counted(5)
    @given(studies(str(folder / "corpus.txt")))
    def collect(example):
        examples.append(example)

    collect()
    for number, example in enumerate(examples[:5]):
        place = tmp_path / str(number)
        place.mkdir()
        process = subprocess.run(
            command(*arguments(place, example)),
            cwd=place,
            capture_output=True,
            text=True,
            timeout=120,
            env=environment(),
            check=False,
        )
        require_status(process.returncode, process.stdout, process.stderr)
        assert [path.name for path in place.iterdir()] == ["x.yaml"]


@counted(50)
@given(content=st.binary(max_size=200))
def test_bytes_that_are_no_study(content, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp() / "bytes"
    folder.mkdir(exist_ok=True)
    (folder / "x.yaml").write_bytes(content)
    with pytest.raises(UserError) as error:
        plan(folder / "x.yaml", home=folder / "home")
    require_lines(printable(str(error.value)))
