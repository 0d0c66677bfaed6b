"""`requirements.lock`: the tested versions, each with the digests of its files."""

import re
from pathlib import Path

from ablab.train.numerics import TESTED_TORCH, other_torch

ROOT = Path(__file__).parents[2]
UNLOCKED = {"torch"}  # whose build depends on the machine


def versions(text):
    return dict(re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)", text, re.MULTILINE))


def canonical(pins):
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pins.items()}


def test_the_lock_has_the_versions_of_the_constraints():
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    constraints = canonical(versions((ROOT / "constraints.txt").read_text(encoding="utf-8")))
    assert constraints.pop("torch") == TESTED_TORCH
    assert canonical(versions(lock)) == constraints


def test_every_requirement_has_a_digest_and_no_address():
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    requirements = re.split(r"\n(?=\S)", lock.strip())
    for requirement in requirements:
        head, *digests = requirement.replace("\\\n", "").split()
        assert re.fullmatch(r"[\w.-]+==[\w.]+", head)
        assert digests
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", digest) for digest in digests), head


def test_another_build_of_torch_works_and_another_release_is_said(monkeypatch):
    for installed, told in (
        (TESTED_TORCH, None),
        (f"{TESTED_TORCH}+cu130", None),
        ("2.14.1", "2.14.1"),
    ):
        monkeypatch.setattr("ablab.train.numerics.version", lambda name, v=installed: v)
        assert other_torch() == told
