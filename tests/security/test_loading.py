"""Nothing that a home or a study file holds is executed when it is read."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = [*ROOT.glob("ablab/**/*.py"), *ROOT.glob("plugins/*.py")]
# Between a worker and the processes that it starts itself, through a pipe and a folder of its own.
PICKLES = {ROOT / "ablab" / "execute" / "rank_messages.py"}
# What executes what it reads, or may be told to.
EXECUTES = {
    "eval",
    "exec",
    "pickle.load",
    "pickle.loads",
    "cloudpickle.load",
    "cloudpickle.loads",
    "dill.load",
    "joblib.load",
    "marshal.loads",
    "os.system",
    "shelve.open",
    "yaml.load",
    "yaml.unsafe_load",
}


def calls(path):
    """The calls in a file: the function as it is written, and its keyword arguments."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            keywords = {k.arg: ast.unparse(k.value) for k in node.keywords}
            yield ast.unparse(node.func), keywords


def test_checkpoints_are_loaded_as_weights_only():
    found = [
        (path.name, keywords.get("weights_only"))
        for path in SOURCES
        for function, keywords in calls(path)
        if function == "torch.load"
    ]
    assert found
    assert {weights_only for _, weights_only in found} == {"True"}


def test_nothing_that_is_read_is_executed():
    found = {
        (path, function)
        for path in SOURCES
        for function, keywords in calls(path)
        if function in EXECUTES
        or keywords.get("allow_pickle") == "True"
        or keywords.get("trust_remote_code") == "True"
        or keywords.get("shell") == "True"
    }
    assert {path for path, _ in found} <= PICKLES
    readers = {
        keywords.get("typ", "'rt'")
        for path in SOURCES
        for function, keywords in calls(path)
        if function == "YAML"
    }
    assert readers <= {"'rt'", "'safe'"}  # ruamel.yaml's `unsafe` builds any object


def test_no_program_is_run_by_a_shell():
    for path in SOURCES:
        assert not re.search(r"subprocess\.getoutput|os\.popen", path.read_text(encoding="utf-8"))
