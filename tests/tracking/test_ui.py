"""MLflow's own pages, as `ablab ui` opens them, in a real browser: what people see of a study."""

import re
import subprocess
import time
from http.client import HTTPConnection
from pathlib import Path

import psutil
import pytest

from ablab.cli.server import ui as open_ui
from ablab.errors import UserError
from ablab.tracking.mlflow.parents import open_parent
from ablab.tracking.mlflow.store import open_store
from tests.browser import browser
from tests.conftest import command, environment
from tests.processes import free_port
from tests.tracking.mlflow_pages import compare_runs, row
from tests.tracking.servers import answers, plain, started
from tests.tracking.stores import shown

pytestmark = [
    pytest.mark.system,
    pytest.mark.filterwarnings("ignore"),  # MLflow's own warnings
]


def ui(folder, port, *more):
    return command("ui", "x", "--home", folder / "home", "--port", port, *more)


def printed(log: Path) -> str:
    found = re.search(r"MLflow on (\S+) \(Ctrl-C ends it\)", log.read_text())
    assert found is not None
    return found.group(1)


def status(port: int, host: str) -> int:
    """The status of the answer to a request in the name of `host`."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/", headers={"Host": host})
    return connection.getresponse().status


def test_a_study_in_mlflows_pages(made, tmp_path):
    folder, session = made
    port = free_port()
    parent = shown(f"sqlite:///{folder.resolve()}/home/mlflow/mlflow.db").parent.info.run_id
    opened = tmp_path / "opened"
    opener = tmp_path / "opener"  # stands for the user's browser
    opener.write_text(f'#!/bin/sh\necho "$1" > {opened}\n')
    opener.chmod(0o755)
    with (
        browser() as chromium,
        started(ui(folder, port, "--open"), port, tmp_path, {"BROWSER": f"{opener} %s"}) as address,
    ):
        wanted = printed(tmp_path / "server.log")
        assert status(port, "evil.example") == 403  # a name that was made to mean this machine
        assert status(port, f"localhost:{port}") == 200
        page = chromium.page(width=2400)
        page.set_default_timeout(60_000)
        page.goto(wanted)
        look_at_groups(page)
        page.goto(wanted.replace("runs?", "runs?compareRunsMode=CHART&"))
        look_at_charts(page)
        page = chromium.page()
        page.set_default_timeout(60_000)
        page.goto(f"{address}/#/experiments/1/runs?workflowType=machine_learning")
        look(page)
        page.goto(f"{address}/#/experiments/1/runs/{parent}/artifacts")
        page.get_by_text(f"{session.record.revision}.html").first.click()
        report = page.frame_locator("iframe")
        report.get_by_text("Does any of it help?").first.wait_for()
        page.screenshot(path=tmp_path / "report.png")
        end = time.monotonic() + 30
        while not opened.exists() and time.monotonic() < end:
            time.sleep(0.2)
        assert opened.read_text().strip() == wanted
        assert not chromium.asked


def look_at_groups(page):
    """The saved view: a row for each arm with means, and columns that are not empty."""
    page.get_by_text("matching runs").wait_for()
    groups = page.locator(".ag-pinned-left-cols-container .ag-row")
    groups.nth(2).wait_for()
    names = [re.sub(r".*Group: ", "", " ".join(text.split())) for text in groups.all_inner_texts()]
    assert sorted(names) == ["gpt2 + rope 2 -", "gpt2 2 -", "llama 2 -"]
    means = page.locator(".ag-center-cols-container [col-id='metrics.`final/val/bpb`']")
    means.nth(2).wait_for()
    values = [float(text.split()[0]) for text in means.all_inner_texts()]
    # By `response` of the stand-in, over the seeds 1 and 2; the best first.
    assert values == pytest.approx([2.715, 2.715, 3.015])
    headings = set(page.locator(".ag-header-cell").all_inner_texts())
    assert headings >= {
        "final/val/bpb",
        "with.rope",
        "with.swiglu",
        "seed",
        "arm",
        "cost/tokens_per_second",
        "cost/peak_memory_bytes",
    }
    assert headings.isdisjoint({"Source", "Models", "Dataset", "with.adamw"})


def look_at_charts(page):
    """The charts of the saved view: curves and results by arm, and the plugins as axes."""
    page.get_by_text("By arm", exact=True).wait_for()
    for title in ("train/loss", "val/bpb", "final/val/bpb", "Parallel Coordinates"):
        page.get_by_role("heading", name=title, exact=True).wait_for()
    page.get_by_text("with.rope").first.wait_for()
    assert page.get_by_text("does not support aggregated").count() == 0


def look(page):
    """The runs under their study, those with a plugin, and two of them compared."""
    page.get_by_text("matching runs").wait_for()
    row(page, "x").wait_for()
    assert row(page, "gpt2 · seed 1").count() == 0
    row(page, "x").get_by_role("button").first.click()
    row(page, "gpt2 + rope · seed 2").wait_for()
    for arm in ("gpt2", "gpt2 + rope", "llama"):
        for seed in (1, 2):
            row(page, f"{arm} · seed {seed}").wait_for()
    box = page.get_by_test_id("search-box")
    box.fill("params.`plugin.rope` = 'off'")
    box.press("Enter")
    row(page, "gpt2 + rope · seed 1").wait_for(state="detached")
    row(page, "gpt2 · seed 1").wait_for()
    box.fill("params.seed = '1'")
    box.press("Enter")
    row(page, "gpt2 + rope · seed 1").wait_for()
    row(page, "gpt2 · seed 2").wait_for(state="detached")
    compare_runs(page, ("gpt2 · seed 1", "gpt2 + rope · seed 1"))
    page.get_by_text("Show diff only").first.click()
    page.get_by_text("plugin.swiglu", exact=True).wait_for(state="detached")
    params = re.compile(r"arm|seed|(plugin|recipe|dims|budget)\..*")
    left = [
        name for name in page.locator("th.head-value").all_inner_texts() if params.fullmatch(name)
    ]
    assert left == ["arm", "plugin.rope"]


def test_without_a_browser_the_server_is_there_all_the_same(made, tmp_path):
    folder, _ = made
    port = free_port()
    with started(
        ui(folder, port, "--no-browser"), port, tmp_path, {"BROWSER": "/nowhere %s"}
    ) as address:
        assert answers(address)
        assert not [
            line for line in command_lines() if f"{folder.name}/home/mlflow/mlflow.db" in line
        ]  # it may hold a password
        assert printed(tmp_path / "server.log").startswith(f"{address}/#/experiments/1/runs?")
        taken = subprocess.run(
            ui(folder, port), env=environment(), capture_output=True, text=True, check=False
        )
    assert (taken.returncode, taken.stderr) == (
        2,
        f"ablab: port {port} on 127.0.0.1 is in use: choose another with --port\n",
    )


def command_lines():
    """Of all processes: every user of a machine may read them."""
    return [" ".join(p.info["cmdline"] or []) for p in psutil.process_iter(["cmdline"])]


def test_a_password_in_a_servers_address_is_not_shown(made, tmp_path, monkeypatch, capfd):
    folder, _ = made
    port, handed = free_port(), []
    address = f"http://me:not-to-be-seen@127.0.0.1:{port}"
    file = tmp_path / "x.yaml"  # the same study, tracked elsewhere
    file.write_text((folder / "x.yaml").read_text() + f"tracking: {{uri: '{address}'}}\n")
    with plain(tmp_path, port):
        with pytest.raises(
            UserError, match=rf"^'x' is not in http://me:\*\*\*@127.0.0.1:{port} yet"
        ):
            open_ui(str(file), home=folder / "home")
        open_parent(open_store(address, tmp_path), "x", {})
        monkeypatch.setattr(subprocess, "Popen", lambda command, **_: handed.append(command))
        open_ui(str(file), browse=True, home=folder / "home")
    page = f"http://127.0.0.1:{port}/#/experiments/1/runs?"
    assert capfd.readouterr().out.startswith(f"x on {page}")
    ((*_, opened),) = handed
    assert "viewStateShareKey=" in opened  # the server told its version, and took the view
    assert opened.startswith(page)


def test_a_study_that_is_not_there_is_named(made):
    folder, _ = made
    wrong = [*command("ui", "y", "--home", folder / "home")]
    result = subprocess.run(wrong, env=environment(), capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (2, "ablab: no study named 'y' (known: x)\n")
