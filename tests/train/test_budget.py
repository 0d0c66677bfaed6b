import pytest

from ablab.errors import UserError
from ablab.train.budget import Budget


@pytest.mark.parametrize(
    ("kind", "amount", "steps"),
    [
        ("steps", 7, 7),
        ("tokens", 1000, 10),
        ("tokens", 1051, 11),
        ("flops", 5e5, 5),
        ("tokens", 100, 1),
    ],
)
def test_steps(kind, amount, steps):
    assert Budget(kind, amount).steps(batch_tokens=100, flops_per_token=1000.0) == steps


def test_below_one_step():
    with pytest.raises(UserError, match="below one step, which takes 1e\\+05"):
        Budget("flops", 9e4).steps(100, 1000.0)
