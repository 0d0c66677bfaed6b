"""Comments on results in a study file."""

import pytest

from ablab.errors import UserError
from ablab.spec.base import MAX_TEXT
from ablab.spec.study import load_study
from tests.handmade import make_arm, make_content, make_part, make_study

GOOD = "from: gpt2\nto: llama\nbudget: {steps: 4}\n"


def test_notes_change_neither_the_revision_nor_the_record():
    plain = make_study()
    noted = make_study(notes=["Rope **helps**."])
    assert noted.notes == ["Rope **helps**."]
    assert noted.revision() == plain.revision()
    assert make_study(question="Another?").revision() != plain.revision()
    content = make_content(make_part(noted, [make_arm("gpt2")], [], [])).as_json()
    assert "notes" not in content["study"]
    assert "notes" not in content["parts"][0]["study"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("notes: helps", "notes: Input should be a valid list"),
        ("notes: [1]", "notes.0: Input should be a valid string"),
        (f"notes: [{'x' * (MAX_TEXT + 1)}]", f"{MAX_TEXT + 1:,} characters: at most"),
        (f"notes: [{'x, ' * 70}]", "at most 64 items"),
    ],
)
def test_other_notes_are_refused_with_their_place(tmp_path, line, message):
    file = tmp_path / "x.yaml"
    file.write_text(f"{GOOD}{line}\n")
    with pytest.raises(UserError) as error:
        load_study(file, None, [])
    assert message in str(error.value)
    assert str(error.value).startswith(f"{file}:4:")
