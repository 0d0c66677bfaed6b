"""Layouts from the text of a study file."""

import pytest

from ablab.design.build import lay_out
from ablab.spec.study import load_study

HEAD = "budget: {steps: 5}\nmodel: {layers: 1, width: 16, heads: 2, context: 16}\n"


@pytest.fixture
def laid(tmp_path, registry):
    """Lays out a study file whose first two lines are the budget and the sizes."""

    def call(text, registry=registry):
        file = tmp_path / "x.yaml"
        file.write_text(HEAD + text)
        study, document = load_study(file, None, [])
        return lay_out(study, registry, document)

    return call
