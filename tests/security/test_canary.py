"""Secrets that the lab is given, in addresses and in the environment, are written nowhere."""

import os

import pytest

CANARY = "c4n4ry-s3cr3t"
VARIABLES = (
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "HF_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "PGPASSWORD",
    "WANDB_API_KEY",
)


@pytest.mark.system
def test_no_secret_is_written_or_printed(
    ablab_process, ablab, monkeypatch, tmp_path, tmp_path_factory, study_text
):
    work = tmp_path / "work"
    work.mkdir()
    temporary = tmp_path_factory.mktemp("t")  # paths of sockets have 107 characters at most
    (work / "x.yaml").write_text(
        study_text.replace("leave_one_out", "compare").replace("seeds: 2", "seeds: 1")
        + f"tracking: {{uri: 'http://me:{CANARY}-a@127.0.0.1:9/?token={CANARY}-b', "
        f"optuna: 'postgresql+psycopg://me:{CANARY}-c@127.0.0.1:9/x?sslpassword={CANARY}-d'}}\n"
    )
    variables = {name: f"{CANARY}-{name}" for name in VARIABLES} | {"TMPDIR": str(temporary)}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    output = []

    def call(*arguments):
        # Only `run` has workers, which inherit the environment of a process.
        command = ablab_process if arguments[0] == "run" else ablab
        done = command(*arguments, "--home", "home", cwd=work)
        output.append(done.stdout + done.stderr)
        return done.returncode

    assert call("run", "x.yaml") == 0, output  # the servers are away, which is said
    assert call("sync", "x.yaml") == 2  # still away
    assert call("sync", "x", "--to", f"sqlite:///{work}/sent/mlflow.db") == 0, output
    run = next((work / "home" / "runs").iterdir()).name
    assert call("export", run, "exported") == 0, output

    assert sum(text.count("me:***@") for text in output) >= 2
    (work / "x.yaml").unlink()  # the user's own
    paths = [*tmp_path.rglob("*"), *temporary.rglob("*")]
    assert {"mlflow.db", "model.safetensors", "config.json"} <= {path.name for path in paths}
    leaks = [path for path in paths if path.is_file() and CANARY.encode() in path.read_bytes()]
    assert leaks == []
    assert not [path for path in paths if CANARY in os.fspath(path)]
    assert not [text for text in output if CANARY in text]
