import pytest

from ablab.errors import UserError
from ablab.spec.run import BudgetConfig


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
    assert (
        BudgetConfig.model_validate({kind: amount}).full_batches(
            batch_tokens=100, flops_per_token=1000.0
        )
        == steps
    )


def test_below_one_step():
    with pytest.raises(UserError, match="below one step, which takes 1e\\+05"):
        BudgetConfig(flops=9e4).full_batches(100, 1000.0)
