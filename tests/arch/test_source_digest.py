"""What a plugin's digest depends on: its own source and that of the modules it imports."""

import sys

import pytest

from ablab.arch.composition.registry import load_registry
from ablab.errors import UserError

PLUGIN = '''
from dataclasses import dataclass

from torch import nn

from ablab.plugin import Activation, Edit, plugin
{imports}


@dataclass(frozen=True)
class Scaled(Activation):
    def build(self):
        return nn.ReLU()


@plugin(source="a test")
class LooseScaled:
    """A scaled activation."""

    def edit(self) -> Edit:
        return {{"mlp.activation": Scaled()}}
'''


def digest(folder, files, imports="from .helper import FACTOR"):
    folder.mkdir()
    for name, text in {"scaled.py": PLUGIN.format(imports=imports), **files}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return load_registry([folder]).plugin("loose_scaled").digest


def test_a_changed_helper_changes_the_digest_and_an_unrelated_file_does_not(tmp_path):
    base = digest(tmp_path / "a", {"helper.py": "FACTOR = 2", "other.py": "X = 1"})
    assert digest(tmp_path / "b", {"helper.py": "FACTOR = 2 # two", "other.py": "X = 2"}) == base
    assert digest(tmp_path / "c", {"helper.py": "FACTOR = 3", "other.py": "X = 1"}) != base


@pytest.mark.parametrize(
    "imports",
    [
        "from . import helper",
        "def later():\n    from .helper import FACTOR",
        "from .middle import FACTOR",
        "from .inner import FACTOR",
    ],
)
def test_ways_to_import_a_helper(tmp_path, imports):
    def with_factor(folder, factor):
        files = {
            "helper.py": f"FACTOR = {factor}",
            "middle.py": "from .helper import FACTOR",
            "inner/__init__.py": "from ..helper import FACTOR",
        }
        return digest(tmp_path / folder, files, imports)

    assert with_factor("a", 2) == with_factor("b", 2) != with_factor("c", 3)


def test_a_helper_imported_by_its_bare_name(tmp_path, monkeypatch):
    def with_factor(folder, factor):
        monkeypatch.delitem(sys.modules, "scaled_factor", raising=False)
        files = {"scaled_factor.py": f"FACTOR = {factor}"}
        return digest(tmp_path / folder, files, "from scaled_factor import FACTOR")

    path = list(sys.path)
    assert with_factor("a", 2) == with_factor("b", 2) != with_factor("c", 3)
    assert sys.path == path
    with pytest.raises(UserError, match=r"scaled.py: `import scaled_factor` takes .*c.scaled_fac"):
        digest(tmp_path / "d", {"scaled_factor.py": "FACTOR = 4"}, "import scaled_factor")


@pytest.mark.parametrize(
    "imports",
    [
        "import importlib\nhelper = importlib.import_module(__package__ + '.' + 'help' + 'er')",
        "import importlib\nscale = importlib.import_module(__package__ + '.' + 'helper').scale",
        "import importlib\nvalue = importlib.import_module(__package__ + '.' + 'helper').Value()",
    ],
)
def test_a_helper_whose_name_is_made_up_when_it_is_imported(tmp_path, imports):
    def with_factor(folder, factor):
        text = f"def scale(x):\n    return {factor} * x\nclass Value:\n    pass\n"
        return digest(tmp_path / folder, {"helper.py": text}, imports)

    assert with_factor("a", 2) == with_factor("b", 2) != with_factor("c", 3)


def test_a_package_on_the_path_counts_and_an_installed_library_does_not(tmp_path, monkeypatch):
    def with_library(folder, factor, place):
        library = tmp_path / folder / place
        (library / "scaled_library").mkdir(parents=True)
        (library / "scaled_library" / "__init__.py").write_text(f"FACTOR = {factor}")
        monkeypatch.syspath_prepend(library)
        monkeypatch.delitem(sys.modules, "scaled_library", raising=False)
        return digest(tmp_path / folder / "plugins", {}, "import scaled_library")

    assert with_library("a", 2, "src") != with_library("b", 3, "src")
    installed = [with_library(name, n, "site-packages") for name, n in (("c", 2), ("d", 3))]
    assert installed[0] == installed[1]


def test_a_stable_digest_under_another_file_name(tmp_path):
    base = digest(tmp_path / "a", {"helper.py": "FACTOR = 2"})
    (tmp_path / "a" / "scaled.py").rename(tmp_path / "a" / "renamed.py")
    (tmp_path / "a").rename(tmp_path / "b")
    assert load_registry([tmp_path / "b"]).plugin("loose_scaled").digest == base
