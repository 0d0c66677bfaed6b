"""A home's accounts: what was counted once is read, and nothing that has changed is."""

import json
from dataclasses import replace

import pytest

from ablab.arch.composition.compose import Composite
from ablab.arch.composition.expression import resolve
from ablab.arch.composition.model import composite
from ablab.arch.composition.registry import load_registry
from ablab.arch.counting.account import account
from ablab.errors import UserError
from ablab.plan import cost_cache as accounts
from ablab.plan.cost_cache import CostCache

SIZES = {"layers": 2, "width": 32, "heads": 4, "vocab": 50, "context": 8}


@pytest.fixture
def made(registry):
    model = resolve("llama", registry)
    return composite(model, Composite(), SIZES).arch, model.uses


@pytest.fixture
def counted(monkeypatch):
    """The architectures that were counted."""
    seen = []
    monkeypatch.setattr(accounts, "account", lambda arch: seen.append(arch) or account(arch))
    return seen


def keep(root, made):
    first = CostCache(root)
    found = first.of(*made)
    first.write()
    return found


def test_what_was_kept_is_read_and_equal(tmp_path, made, counted):
    root = tmp_path / "home"
    assert keep(root, made) == account(made[0]) == CostCache(root).of(*made)
    assert len(counted) == 1


def test_nothing_is_made_before_it_is_written_nor_where_nothing_was_counted(tmp_path, made):
    root = tmp_path / "home"
    first = CostCache(root)
    first.of(*made)
    assert not root.exists()
    first.write()
    written = (root / "accounts.json").stat().st_mtime_ns
    again = CostCache(root)
    again.of(*made)
    again.write()
    assert (root / "accounts.json").stat().st_mtime_ns == written


def test_another_size_or_another_source_of_a_plugin_is_counted_anew(tmp_path, made, counted):
    arch, uses = made
    keep(tmp_path, made)
    name, use = next(iter(uses.items()))
    edited = {**uses, name: replace(use, plugin=replace(use.plugin, digest="another"))}
    CostCache(tmp_path).of(arch, edited)
    CostCache(tmp_path).of(replace(arch, dims=replace(arch.dims, layers=3)), uses)
    assert len(counted) == 3


def test_a_plugin_without_a_file_is_never_kept(tmp_path, made, counted):
    arch, uses = made
    name, use = next(iter(uses.items()))
    keep(tmp_path, (arch, {**uses, name: replace(use, plugin=replace(use.plugin, digest=""))}))
    assert not (tmp_path / "accounts.json").exists()


def test_another_core_counts_all_anew_and_keeps_nothing_old(tmp_path, made, counted, monkeypatch):
    keep(tmp_path, made)
    monkeypatch.setattr(accounts, "_core", lambda: "another")
    keep(tmp_path, (replace(made[0], dropout=0.1), made[1]))
    assert len(counted) == 2
    assert len(json.loads((tmp_path / "accounts.json").read_text())["accounts"]) == 1


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"core": 1}', b'"text"'])
def test_a_damaged_file_is_counted_anew_and_replaced(tmp_path, made, counted, content):
    keep(tmp_path, made)
    (tmp_path / "accounts.json").write_bytes(content)
    assert keep(tmp_path, made) == account(made[0])
    assert CostCache(tmp_path).of(*made) == account(made[0])
    assert len(counted) == 2


@pytest.mark.parametrize("entry", [None, {}, "text", {"parameters": 1}])
def test_a_damaged_entry_is_counted_anew_and_replaced(tmp_path, made, counted, entry):
    keep(tmp_path, made)
    file = tmp_path / "accounts.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, "accounts": dict.fromkeys(content["accounts"], entry)}))
    assert keep(tmp_path, made) == account(made[0])
    assert CostCache(tmp_path).of(*made) == account(made[0])
    assert len(counted) == 2


def test_two_that_write_at_once_keep_what_both_counted(tmp_path, made, counted):
    arch, uses = made
    first, second = CostCache(tmp_path), CostCache(tmp_path)
    first.of(arch, uses)
    second.of(replace(arch, dropout=0.1), uses)
    first.write()
    second.write()
    third = CostCache(tmp_path)
    third.of(arch, uses)
    third.of(replace(arch, dropout=0.1), uses)
    assert len(counted) == 2


def test_a_model_that_cannot_be_is_refused_each_time(tmp_path, made):
    arch, uses = made
    broken = replace(arch, dims=replace(arch.dims, head_dim=7))
    for _ in range(2):
        with pytest.raises(UserError):
            keep(tmp_path, (broken, uses))


def test_every_family_reads_back_as_it_was_counted(tmp_path):
    registry = load_registry()
    models = [resolve(name, registry) for name in registry.families]
    made = [(composite(model, Composite(), SIZES).arch, model.uses) for model in models]
    kept = [keep(tmp_path, one) for one in made]
    again = CostCache(tmp_path)
    assert [again.of(*one) for one in made] == kept
