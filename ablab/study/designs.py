"""Designs: from two ends and a list of changes to arms, and to the contrasts of arm means that answer the question."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from ablab.arch.compose import check_conflicts
from ablab.arch.expression import Model, Use, resolve
from ablab.arch.registry import Registry
from ablab.errors import UserError
from ablab.study.changes import Change, changes_of, variant
from ablab.study.schema import Compare, Factorial, LeaveOneOut, OneIn, PathDesign, Study
from ablab.study.yaml_file import Document

_MOST_FACTORS = 8


@dataclass(frozen=True)
class Contrast:
    """An effect as weights on arm means. `kind`: change, total or interaction."""

    name: str
    kind: str
    weights: Mapping[str, float]


@dataclass
class Layout:
    """What a design asks for. `infeasible`: combinations left out, with the reason."""

    arms: dict[str, Model] = field(default_factory=dict)
    contrasts: list[Contrast] = field(default_factory=list)
    infeasible: dict[str, str] = field(default_factory=dict)


def lay_out(study: Study, registry: Registry, document: Document) -> Layout:
    """The arms and contrasts of a study. Raises UserError with the place in the file."""
    if isinstance(study.design, Compare):
        return _compare(study, registry, document)
    start = _model(study.from_, registry, document, "from")
    end = _model(study.to, registry, document, "to") if study.to is not None else None
    changes = changes_of(study, registry, document, start, end)
    if not changes:
        raise UserError(f"{document.place(['design'])}: design: `from` and `to` do not differ")
    return _DESIGNS[type(study.design)](start, end, changes, document)


def _model(text: str | None, registry: Registry, document: Document, *key: str) -> Model:
    assert text is not None
    try:
        return resolve(text, registry)
    except UserError as error:
        raise error.at(f"{document.place(key)}: {'.'.join(key)}") from None


def _compare(study: Study, registry: Registry, document: Document) -> Layout:
    if study.arms is not None:
        arms = {name: _model(text, registry, document, "arms", name) for name, text in study.arms.items()}
    else:
        ends = {"from": study.from_, "to": study.to}
        arms = {str(text): _model(text, registry, document, key) for key, text in ends.items()}
    assert isinstance(study.design, Compare)
    baseline = study.design.baseline or next(iter(arms))
    contrasts = [Contrast(name, "change", {name: 1.0, baseline: -1.0}) for name in arms if name != baseline]
    return Layout(arms, contrasts)


def _end(start: Model, end: Model | None, changes: Iterable[Change]) -> Model:
    """`to`, at the sizes of `from`; without it, `from` with all changes."""
    if end is not None:
        return Model(end.expression, end.family, end.size, end.uses, start.dims)
    uses: dict[str, Use] = dict(start.uses)
    for change in changes:
        uses = change.apply(uses)
    return variant(start, uses)


def _total(end: Model, start: Model) -> Contrast:
    return Contrast(f"{end.expression} vs {start.expression}", "total", {end.expression: 1.0, start.expression: -1.0})


def _path(start: Model, end: Model | None, changes: Sequence[Change], document: Document) -> Layout:
    goal = _end(start, end, changes)
    layout = Layout({start.expression: start})
    uses, previous = dict(start.uses), start.expression
    for i, change in enumerate(changes, start=1):
        uses = change.apply(uses)
        model = goal if i == len(changes) else variant(start, uses)
        layout.arms[model.expression] = model
        layout.contrasts.append(Contrast(change.name, "change", {model.expression: 1.0, previous: -1.0}))
        previous = model.expression
    layout.contrasts.append(_total(goal, start))
    return layout


def _one_in(start: Model, end: Model | None, changes: Sequence[Change], document: Document) -> Layout:
    layout = Layout({start.expression: start})
    for change in changes:
        model = variant(start, change.apply(start.uses))
        layout.arms[model.expression] = model
        layout.contrasts.append(Contrast(change.name, "change", {model.expression: 1.0, start.expression: -1.0}))
    return layout


def _leave_one_out(start: Model, end: Model | None, changes: Sequence[Change], document: Document) -> Layout:
    goal = _end(start, end, changes)
    layout = Layout({goal.expression: goal})
    for change in changes:
        model = variant(goal, change.undo(goal.uses))
        layout.arms[model.expression] = model
        layout.contrasts.append(Contrast(change.name, "change", {goal.expression: 1.0, model.expression: -1.0}))
    layout.arms[start.expression] = start
    layout.contrasts.append(_total(goal, start))
    return layout


def _factorial(start: Model, end: Model | None, changes: Sequence[Change], document: Document) -> Layout:
    if len(changes) > _MOST_FACTORS:
        raise UserError(
            f"{document.place(['design'])}: design: a factorial of {len(changes)} changes has {2 ** len(changes)} arms; "
            f"list at most {_MOST_FACTORS} in design.changes, or use leave_one_out"
        )
    layout = Layout()
    cells: dict[frozenset[str], str] = {}
    goal = _end(start, end, changes)
    for chosen in _subsets(changes):
        uses: dict[str, Use] = dict(start.uses)
        for change in chosen:
            uses = change.apply(uses)
        model = goal if len(chosen) == len(changes) else variant(start, uses)
        try:
            check_conflicts([use.claim() for use in uses.values()])
        except UserError as error:
            layout.infeasible[model.expression] = str(error)
            continue
        layout.arms[model.expression] = model
        cells[frozenset(change.name for change in chosen)] = model.expression
    names = [change.name for change in changes]
    layout.contrasts += [c for name in names if (c := _factorial_contrast(cells, (name,))) is not None]
    layout.contrasts += [c for pair in combinations(names, 2) if (c := _factorial_contrast(cells, pair)) is not None]
    return layout


def _subsets(changes: Sequence[Change]) -> Iterator[tuple[Change, ...]]:
    for size in range(len(changes) + 1):
        yield from combinations(changes, size)


def _factorial_contrast(cells: Mapping[frozenset[str], str], factors: tuple[str, ...]) -> Contrast | None:
    """The full difference between levels (for a pair: how much one's effect grows with the other), averaged over every
    combination of the other changes for which all the cells it needs exist; None where there is none.
    """
    weights: dict[str, float] = {}
    rests = {cell - set(factors) for cell in cells}
    corners = [frozenset(c) for size in range(len(factors) + 1) for c in combinations(factors, size)]
    complete = [rest for rest in rests if all(rest | corner in cells for corner in corners)]
    for rest in complete:
        for corner in corners:
            sign = (-1) ** (len(factors) - len(corner))
            weights[cells[rest | corner]] = weights.get(cells[rest | corner], 0.0) + sign / len(complete)
    kind = "change" if len(factors) == 1 else "interaction"
    return Contrast(" × ".join(factors), kind, weights) if complete else None


_DESIGNS = {PathDesign: _path, OneIn: _one_in, LeaveOneOut: _leave_one_out, Factorial: _factorial}
