"""What is shown of an address, and of what was asked for, holds no password."""

import subprocess
from pathlib import Path

import pytest

from ablab.errors import UserError
from ablab.execute.session import Request, planned
from ablab.spec.addresses import redacted, without_user
from ablab.spec.tracking import Tracking


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://me:a%40b@host/x", "postgresql://me:***@host/x"),
        ("postgresql://host/x?user=me&password=one", "postgresql://host/x?user=me&password=***"),
        (
            "postgresql://host/x?sslmode=require&sslpassword=two",
            "postgresql://host/x?sslmode=require&sslpassword=***",
        ),
        ("https://host/x?token=three", "https://host/x?token=***"),
        ("https://host/x?Access_Token=a%2Bb&page=2", "https://host/x?Access_Token=***&page=2"),
        (
            "mysql://me:ab@host/x?ssl_key=k.pem&passwd=abc",
            "mysql://me:***@host/x?ssl_key=k.pem&passwd=***",
        ),
        (
            "https://host/x?api_key=four;client_secret=five",
            "https://host/x?api_key=***;client_secret=***",
        ),
        ("sqlite:////tmp/mlflow.db", "sqlite:////tmp/mlflow.db"),
        ("http://[::1]:5000", "http://[::1]:5000"),
        # Which SQLAlchemy takes as they are, and others don't.
        ("postgresql+psycopg://me:s3cr/et@host/db", "postgresql+psycopg://me:***@host/db"),
        ("postgresql://me:a#b?c@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me:p[w@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me:p@w@host/db", "postgresql://me:***@host/db"),
        ("postgresql://host/x?user=me&password=a:b@c", "postgresql://host/x?user=me&password=***"),
        ("postgresql://host/x?password=one#two", "postgresql://host/x?password=***"),
        ("me:secret@host:5000", "me:***@host:5000"),  # its http:// forgotten
    ],
)
def test_secrets_are_not_shown(address, shown):
    assert redacted(address, address) == shown


def test_a_message_has_them_as_they_were_written_or_meant():
    told = redacted("a+b d, a%2Bb%20d and a+b+d are wrong", "https://host/?token=a%2Bb%20d")
    assert told == "***, *** and a+b+d are wrong"


@pytest.mark.parametrize(
    ("line", "column", "told"),
    [
        (
            "{uri: mlflow.example.org:5000}",
            12,
            ".uri: 'mlflow.example.org:5000' is not the address of a tracking server or database: "
            "give http",
        ),
        (
            "{uri: 'me:not-seen@host:5000'}",
            12,
            ".uri: 'me:***@host:5000' is not the address of a tracking server",
        ),
        (
            "{uri: 'http://me:not-seen/x@host:5000'}",
            12,
            ".uri: http://me:***@host:5000: percent-encode the special characters",
        ),
        (
            "{uri: 'http://me:not-seen[x@host:5000'}",
            12,
            ".uri: http://me:***@host:5000: percent-encode",
        ),
        (
            "'http://me:not-seen@host:5000'",
            1,
            ": Input should be a valid dictionary or instance of Tracking, not 'http://me:***@h",
        ),
        (
            "{optuna: 'postgresql://me:not-seen@x@host/db'}",
            12,
            ".optuna: postgresql://me:***@host/db: percent-encode",
        ),
        (
            "{optuna: 'http://host:5000'}",
            12,
            ".optuna: 'http://host:5000' is not the address of a database: give "
            "postgresql+psycopg://USER@HOST",
        ),
    ],
)
def test_a_study_that_names_no_tracker_is_refused_before_it_trains(
    line, column, told, tmp_path, study_text
):
    (tmp_path / "x.yaml").write_text(study_text + f"tracking: {line}\n")
    with pytest.raises(UserError) as error:
        planned(Request(tmp_path / "x.yaml", None, (), ()))
    assert str(error.value).startswith(
        f"{tmp_path}/x.yaml:{len(study_text.splitlines()) + 1}:{column}: tracking{told}"
    )
    assert "not-seen" not in str(error.value)


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql+psycopg://me:s3cr/et@host/db",
        "sqlite:////a[1]/x@y.db",
        "http://me:a%40@host:5000",
    ],
)
def test_addresses_that_trackers_can_read_are_taken(uri):
    assert Tracking(uri=uri).uri == uri


def test_a_servers_page_has_no_user():
    assert without_user("https://me:a@host:5000/mlflow/") == "https://host:5000/mlflow/"
    assert without_user("http://[::1]:5000") == "http://[::1]:5000"


def test_a_command_keeps_all_that_was_asked_but_addresses():
    overrides = (
        " tracking.uri=postgresql://me:secret@host/x",
        "tracking.optuna=secret",
        " seeds=2",
        "budget.steps=4",
    )
    command = Request(Path("x.yaml"), "small", overrides, ()).command
    assert command == "x.yaml ' seeds=2' budget.steps=4 --profile small"


def test_a_command_can_be_pasted_into_a_shell():
    overrides = ("question=So? $HOME", "recipe.plugins=rope + swiglu", "seeds=[1, 2]", "a='b'")
    request = Request(Path("my studies/x.yaml"), "small", overrides, (Path("my plugins"),))
    shell = f"for word in {request.command}; do printf '%s\\0' \"$word\"; done"
    words = subprocess.run(["/bin/sh", "-c", shell], capture_output=True, text=True, check=True)
    assert words.stdout.split("\0")[:-1] == [
        "my studies/x.yaml",
        *overrides,
        "--profile",
        "small",
        "--plugins",
        "my plugins",
    ]
