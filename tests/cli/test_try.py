"""`ablab try` and `ablab ledger`: a program that tries ideas in a loop, with stand-in runs."""

import json
import re
import subprocess
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from jsonschema import validate

from tests.inprocess import run_command
from tests.standin import StandIn, noise_seed

ROOT = Path(__file__).parents[2]
GAINS = {f"idea{i:02}": 0.15 if i % 5 == 0 else 0.0 for i in range(20)}
PLUGIN = '''"""An idea."""

from ablab.plugin import Edit, plugin


@plugin(source="none")
class {name}:
    """An idea."""

    gain: float = {gain}

    def edit(self) -> Edit:
        """Return an edit."""
        return {{"recipe.weight_decay": {decay}}}
'''


class StandInEngine:
    """Trains no run: each has the loss of its baseline, a noise of its own, and its idea's gain."""

    queues = False

    def check(self, context, runs): ...

    def slots(self, requested, runs):
        return 2

    def leading(self):
        return nullcontext()

    def executor(self, context, requested, runs):
        return StandIn(context.home, _loss)

    def time_arms(self, stage):
        return ""


def _loss(spec):
    rng = np.random.default_rng(noise_seed(spec))
    gain = sum(GAINS.get(name, 0.0) for name, _ in spec.plugins)
    return 3.0 + 0.02 * rng.standard_normal() - gain


@pytest.fixture
def standin_runs(monkeypatch):
    monkeypatch.setattr(
        "ablab.execute.executors.choose.choose_engine", lambda study: StandInEngine()
    )


@pytest.fixture
def protocol(tmp_path, corpus):
    file = tmp_path / "small.yaml"
    file.write_text(
        "design: {kind: contexts, contexts: [gpt2, llama], changes: [qk_norm]}\n"
        "model: {layers: 1, width: 16, heads: 2, context: 16}\n"
        f'data: {{source: text, files: ["{corpus}/*.txt"], tokenizer: {{kind: byte}}}}\n'
        "budget: {steps: 4}\n"
        "seeds: {start: 4, max: 8, until: decided}\n"
        "recipe: {batch_tokens: 64}\n"
    )
    return file


def write_ideas(folder: Path) -> None:
    folder.mkdir()
    for i, (name, gain) in enumerate(GAINS.items()):
        text = PLUGIN.format(name=name.capitalize(), gain=gain, decay=0.1 + 0.001 * i)
        (folder / f"{name}.py").write_text(text)


@pytest.mark.system
def test_the_loop_of_the_page_for_agents(tmp_path, protocol, standin_runs, monkeypatch):
    """Four of twenty ideas help, in both contexts, by more than the others' noise."""
    page = (ROOT / "docs" / "agents.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    loop = {"__name__": "loop"}
    exec(compile(code, "agents.md", "exec"), loop)

    def run(command, **_):
        options = ["--protocol", protocol, "--skip-checks"]
        return run_command(tmp_path, *command[1:], *options)

    monkeypatch.setattr(subprocess, "run", run)
    # Drawing twenty reports takes most of the time, and nothing here reads them.
    monkeypatch.setattr("ablab.report.files.write_files", lambda summary, record: [])
    write_ideas(tmp_path / "ideas")
    (tmp_path / "ideas" / "broken.py").write_text("import nothing_of_this_name\n")
    cards = loop["try_all"](tmp_path / "ideas")
    assert cards[0]["decision"] == "refused"
    assert "broken.py" in cards[0]["why"]
    decisions = {card["idea"]: card["decision"] for card in cards[1:]}
    assert {name for name, decision in decisions.items() if decision == "keep"} == {
        name for name, gain in GAINS.items() if gain
    }
    schema = json.loads(run_command(tmp_path, "schema", "card").stdout)
    for card in cards[1:]:
        validate(card, schema)
    entries = json.loads(run_command(tmp_path, "ledger", "--json").stdout)
    assert [entry["number"] for entry in entries] == list(range(1, 21))
    assert {entry["change"]: entry["decision"] for entry in entries} == decisions


def test_a_card_is_the_same_again(tmp_path, protocol, standin_runs):
    options = ("--protocol", protocol, "--skip-checks", "--json")
    first = run_command(tmp_path, "try", "qk_norm", *options)
    assert first.returncode == 0, first.stderr
    (card,) = json.loads(first.stdout)
    assert "trying qk_norm in gpt2 and llama" in first.stderr
    again = run_command(tmp_path, "try", "qk_norm", *options, "--exit-code")
    assert json.loads(again.stdout) == [card]
    status = {"keep": 0, "discard": 10, "inconclusive": 11}
    assert again.returncode == status[card["decision"]]
    # The study that was written has the same numbers.
    run = run_command(tmp_path, *card["command"].split()[1:])
    assert run.returncode == 0, run.stderr
    report = run_command(tmp_path, "report", card["study"], "--json")
    effects = json.loads(report.stdout)["parts"][0]["effects"]
    shown = {effect["name"].partition(" in ")[2]: effect["estimate"] for effect in effects}
    assert shown == {effect["context"]: effect["estimate"] for effect in card["effects"]}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["nope"], "no plugin named 'nope'"),
        (["rope", "--on", "llama"], "'llama' has 'rope' already"),
        (["relu_squared + geglu"], "conflict"),
        (["qk_norm", "--protocol", "none.yaml"], "no such study file"),
        (["qk_norm", "--set", "budgets=[{steps: 1}, {steps: 2}]"], "budgets"),
        (["qk_norm", "--minutes", "5"], "--minutes goes by the speed"),
        (["qk_norm", "--minutes", "5", "--again", "6"], "both choose the seeds"),
        (["qk_norm", "--set", "metric=val/bpp"], "val/bpb"),
    ],
)
def test_invalid_ideas_create_nothing(tmp_path, arguments, reason):
    ended = run_command(tmp_path, "try", *arguments)
    assert ended.returncode == 2
    assert reason in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.system
def test_what_is_known_is_not_tried(tmp_path, protocol, standin_runs):
    options = ("--protocol", protocol, "--skip-checks")
    assert run_command(tmp_path, "try", "qk_norm", *options).returncode == 0
    for arguments in (
        ["llama + qk_norm"],
        ["qk_norm", "--set", "margin=1 %"],
        ["qk_norm", "--set", "seeds=8"],
    ):
        ended = run_command(tmp_path, "try", *arguments, *options)
        assert ended.returncode == 2, arguments
        assert "(entry 1 of the ledger)" in ended.stderr
    same = run_command(tmp_path, "try", "+ qk_norm", "--on", "llama", "--on", "gpt2", *options)
    assert same.returncode == 0
    peek = tmp_path / "peek.yaml"
    text = protocol.read_text().replace("[qk_norm]", "[mqa]")
    peek.write_text(text.replace("seeds: {start: 4, max: 8, until: decided}", "seeds: 4"))
    assert run_command(tmp_path, "run", peek).returncode == 0
    ended = run_command(tmp_path, "try", "mqa", *options)
    assert ended.returncode == 2
    assert "a study outside the ledger has trained some of its runs" in ended.stderr
    again = run_command(tmp_path, "try", "mqa", *options, "--again", 8)
    assert again.returncode == 0, again.stderr
    assert len(json.loads(run_command(tmp_path, "ledger", "--json").stdout)) == 2


def test_too_few_seeds_are_refused(tmp_path, protocol, standin_runs):
    options = ("--protocol", protocol, "--skip-checks", "--set", "seeds=3")
    ended = run_command(tmp_path, "try", "qk_norm", *options)
    assert ended.returncode == 2
    assert "verdicts need 4 seeds or more" in ended.stderr


def test_an_empty_ledger(tmp_path):
    ended = run_command(tmp_path, "ledger")
    assert (ended.returncode, list(tmp_path.iterdir())) == (2, [])
    assert "no idea has been tried" in ended.stderr


@pytest.mark.system
def test_minutes_choose_the_seeds_and_then_the_budget(tmp_path, protocol, standin_runs):
    options = ("--protocol", protocol, "--skip-checks", "--workers", 2)
    assert run_command(tmp_path, "try", "qk_norm", *options).returncode == 0
    long = run_command(tmp_path, "try", "mqa", *options, "--json", "--minutes", 60)
    assert long.returncode == 0, long.stderr
    seeds, budget = re.findall(r"(\d+) seeds at ([\d.e+-]+) steps", long.stderr)[0]
    assert {effect["seeds"] for effect in json.loads(long.stdout)[0]["effects"]} == {int(seeds)}
    assert (int(seeds), float(budget)) == (48, 4.0)  # the most
    larger = (*options, "--set", "budget={steps: 400}")
    needed = run_command(tmp_path, "try", "rmsnorm", "--on", "gpt2", *larger, "--minutes", 0.4)
    assert needed.returncode == 2
    pattern = r"4 seeds at an eighth of the budget take (?:(\d+) min )?(\d+) s with 2 workers"
    found = re.search(pattern, needed.stderr)
    assert found, needed.stderr
    minutes, seconds = found.groups()
    least = int(minutes or 0) + int(seconds) / 60
    twice = least + (least - 20 / 60)  # without the start of the workers
    short = run_command(tmp_path, "try", "rmsnorm", "--on", "gpt2", *larger, "--minutes", twice)
    assert short.returncode == 0, short.stderr
    assert "4 seeds at 100 steps" in short.stderr


def test_what_a_trial_will_find_is_said_before(tmp_path, protocol, standin_runs):
    options = ("--protocol", protocol, "--skip-checks")
    first = run_command(tmp_path, "try", "qk_norm", *options)
    assert "80 % power" not in first.stdout  # no noise is on record
    second = run_command(tmp_path, "try", "mqa", *options)
    text = " ".join(second.stdout.split())
    assert re.search(r"an effect of [\d.]+ val/bpb is found with 80 % power", text)
