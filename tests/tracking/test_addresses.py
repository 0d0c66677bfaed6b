"""What is shown of an address, and of what was asked for, holds no password."""

from pathlib import Path

import pytest

from ablab.study.session import Request
from ablab.tracking.addresses import redacted, without_user


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://me:a%40b@host/x", "postgresql://me:***@host/x"),
        ("postgresql://host/x?user=me&password=one", "postgresql://host/x?user=me&password=***"),
        ("postgresql://host/x?sslmode=require&sslpassword=two", "postgresql://host/x?sslmode=require&sslpassword=***"),
        ("https://host/x?token=three", "https://host/x?token=***"),
        ("https://host/x?Access_Token=a%2Bb&page=2", "https://host/x?Access_Token=***&page=2"),
        ("mysql://me:ab@host/x?ssl_key=k.pem&passwd=abc", "mysql://me:***@host/x?ssl_key=k.pem&passwd=***"),
        ("https://host/x?api_key=four;client_secret=five", "https://host/x?api_key=***;client_secret=***"),
        ("sqlite:////tmp/mlflow.db", "sqlite:////tmp/mlflow.db"),
    ],
)
def test_secrets_are_not_shown(address, shown):
    assert redacted(address, address) == shown


def test_a_message_has_them_as_they_were_written_or_meant():
    told = redacted("a+b d, a%2Bb%20d and a+b+d are wrong", "https://host/?token=a%2Bb%20d")
    assert told == "***, *** and a+b+d are wrong"


def test_a_servers_page_has_no_user():
    assert without_user("https://me:a@host:5000/mlflow/") == "https://host:5000/mlflow/"
    assert without_user("http://[::1]:5000") == "http://[::1]:5000"


def test_a_command_keeps_all_that_was_asked_but_addresses():
    overrides = (" tracking.uri=postgresql://me:secret@host/x", "tracking.optuna=secret", " seeds=2", "budget.steps=4")
    command = Request(Path("x.yaml"), "small", overrides, ()).command
    assert command == "x.yaml  seeds=2 budget.steps=4 --profile small"
