"""Options out of range are refused when the study is read: by status 2, the place, the arm's name;
nothing is created.
"""

import pytest

from ablab.errors import UserError
from ablab.execute.session import Request
from ablab.execute.session import planned as plan

ARMS = """\
design: {{kind: compare, baseline: plain}}
arms:
  plain: gpt2
  mine: {expression}
model: {{layers: 2, width: {width}, heads: {heads}, context: 16}}
data: {{source: text, files: ["{corpus}/*.txt"], tokenizer: {{kind: byte}}}}
budget: {{steps: 4}}
recipe: {{batch_tokens: 64}}
"""
ENDS = ARMS.replace(
    "design: {{kind: compare, baseline: plain}}\narms:\n  plain: gpt2\n  mine: {expression}",
    "from: gpt2\nto: {expression}",
)
FINITE, NUMBER, WHOLE = (
    "Input should be a finite number",
    "Input should be a valid number",
    "Input should be a valid integer",
)
STUDY = {"width": 16, "heads": 4}
# Expression, what is said, and sizes where they differ.
CASES = [
    (
        "sliding_window(band=0)",
        "sliding_window(band=0): Input should be greater than or equal to 1",
        {},
    ),
    ("gqa(groups=3)", "3 kv heads do not divide 4 heads", {}),
    ("rope", "the head dimension must be even, not 5", {"width": 20}),
    ("rope(share=0.5)", "share 0.5 of the head dimension 6 must be even, not 3", {"width": 24}),
    (
        "sparse_attention(strided=True)",
        "needs an even number of heads, not 3",
        {"width": 18, "heads": 3},
    ),
]
MORE = [
    (
        "sparse_attention(band=0)",
        "sparse_attention(band=0): Input should be greater than or equal to 1",
        {},
    ),
    ("sliding_window(band=2.5)", f"sliding_window(band=2.5): {WHOLE}", {}),
    ("sliding_window(band=true)", f"sliding_window(band=True): {WHOLE}", {}),
    ("sliding_window(band='4')", f"sliding_window(band='4'): {WHOLE}", {}),
    ("gqa(groups=8)", "8 kv heads do not divide 4 heads", {}),
    ("rope(share=0.3)", "share 0.3 of the head dimension 4 must be even, not 1.2", {}),
    ("rope(share=0)", "rope(share=0): Input should be greater than 0", {}),
    ("rope(base=inf)", f"rope(base='inf'): {NUMBER}", {}),
    ("rope(base=1e999)", f"rope(base=inf): {FINITE}", {}),
    ("logit_softcap(cap=1e999)", f"logit_softcap(cap=inf): {FINITE}", {}),
    ("dropout(p=true)", f"dropout(p=True): {NUMBER}", {}),
    (
        "sparse_attention(strided=1)",
        "sparse_attention(strided=1): Input should be a valid boolean",
        {},
    ),
    ("sparse_attention(strided=True)", "needs an even number of heads, not 1", {"heads": 1}),
    (
        "sparse_attention(strided=True) + gqa(groups=3)",
        "one kv head or an even number, not 3",
        {"width": 24, "heads": 6},
    ),
]


@pytest.fixture
def write(tmp_path, corpus):
    def written(template, **values):
        file = tmp_path / "b.yaml"
        file.write_text(template.format(corpus=corpus, **{**STUDY, **values}))
        return file

    return written


def refusal(file):
    with pytest.raises(UserError) as error:
        plan(Request(file, None, (), ()))
    assert [p.name for p in file.parent.iterdir()] == ["b.yaml"]
    return str(error.value)


@pytest.mark.parametrize(("terms", "message", "sizes"), CASES)
def test_the_command_refuses_an_arm_by_name(ablab, write, terms, message, sizes):
    file = write(ARMS, expression=f"gpt2 + {terms}", **sizes)
    result = ablab("plan", "b.yaml")
    assert (result.returncode, result.stdout) == (2, "")
    assert "b.yaml:4:3: arms.mine: " in result.stderr
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert [p.name for p in file.parent.iterdir()] == ["b.yaml"]


@pytest.mark.parametrize(("terms", "message", "sizes"), MORE)
def test_an_arm_is_refused_by_name(write, terms, message, sizes):
    said = refusal(write(ARMS, expression=f"gpt2 + {terms}", **sizes))
    assert "b.yaml:4:3: arms.mine: " in said
    assert message in said


@pytest.mark.parametrize(("terms", "message", "sizes"), CASES + MORE)
def test_an_end_is_refused_by_its_expression(write, terms, message, sizes):
    expression = f"gpt2 + {terms}"
    said = refusal(write(ENDS, expression=expression, **sizes))
    assert "b.yaml:2:1: " in said
    assert f"{expression!r}: " in said
    assert message in said


@pytest.mark.parametrize("kind", ["one_in", "path", "factorial"])
def test_so_is_the_end_of_a_design(write, kind):
    file = write(ENDS, expression="gpt2 + sliding_window(band=0)")
    file.write_text(file.read_text() + f"design: {{kind: {kind}}}\n")
    assert "b.yaml:2:1: to: 'gpt2 + sliding_window(band=0)': sliding_window(band=0): " in refusal(
        file
    )


def test_an_expression_is_said_once(write):
    assert refusal(write(ENDS, expression="gpt2 + + rope")).count("'gpt2 + + rope'") == 1


def test_options_in_range_plan(write):
    expression = "gpt2 + rope(base=5e5, share=0.5) + sparse_attention(band=4, strided=true) + mqa"
    (part,) = plan(Request(write(ARMS, expression=expression), None, (), ())).plan.parts
    assert len(part.plan.arms) == 2


FACTORS = """\
from: gpt2
design:
  kind: factorial
  factors:
    rope: {{base: [{values}]}}
model: {{layers: 2, width: 16, heads: 4, context: 16}}
data: {{source: text, files: ["{corpus}/*.txt"], tokenizer: {{kind: byte}}}}
budget: {{steps: 4}}
recipe: {{batch_tokens: 64}}
"""


def test_a_yaml_number_may_be_written_either_way(write):
    request = Request(write(FACTORS, values="5e5, 400000, 3.0e+5"), None, (), ())
    (part,) = plan(request).plan.parts
    assert [arm.plugins[-2] for arm in part.plan.arms[1:]] == [
        "rope(base=500000.0)",
        "rope(base=400000.0)",
        "rope(base=300000.0)",
    ]


@pytest.mark.parametrize(
    ("value", "message"), [(".inf", FINITE), (".nan", FINITE), ("true", NUMBER), ('"4"', NUMBER)]
)
def test_a_level_out_of_range_is_refused_at_its_place(write, value, message):
    said = refusal(write(FACTORS, values=f"5e5, {value}"))
    assert "b.yaml:5:24: design.factors.rope.base.1: rope(base=" in said
    assert message in said
