"""Build the arms of a design and the contrasts of arm means that answer its question."""

from ablab.arch.composition.expression import Model, resolve
from ablab.arch.composition.registry import Registry
from ablab.design.contexts import contexts
from ablab.design.factorial import factorial
from ablab.design.factors import factors_of
from ablab.design.fractional import fractional_factorial
from ablab.design.layout import Contrast, DesignLayout, Task
from ablab.design.shapley import shapley
from ablab.design.stepwise import leave_one_out, one_in, one_in_one_out, path
from ablab.errors import UserError
from ablab.spec.design import (
    Compare,
    Contexts,
    Factorial,
    FractionalFactorial,
    LeaveOneOut,
    OneIn,
    OneInOneOut,
    PathDesign,
    Search,
    Shapley,
)
from ablab.spec.study import Study
from ablab.spec.yaml_document import Document

__all__ = ["Contrast", "DesignLayout", "lay_out"]

_DESIGNS = {
    PathDesign: path,
    OneIn: one_in,
    LeaveOneOut: leave_one_out,
    OneInOneOut: one_in_one_out,
    Factorial: factorial,
    FractionalFactorial: fractional_factorial,
    Shapley: shapley,
}


def lay_out(study: Study, registry: Registry, document: Document) -> DesignLayout:
    """Return the arms and contrasts of a study.

    Raises UserError with the position in the study file.
    """
    if isinstance(study.design, Compare):
        return _compare(study, registry, document)
    if isinstance(study.design, Contexts):
        return contexts(study.design, registry, document)
    start = _model(study.from_, registry, document, "from")
    if isinstance(study.design, Search):  # its other arms are those of its trials
        return DesignLayout({start.expression: start}, baseline=start.expression)
    end = _model(study.to, registry, document, "to") if study.to is not None else None
    factors = factors_of(study, registry, document, start, end)
    task = Task(start, end, factors, study.design, document)
    if not task.factors:
        raise task.error("`from` and `to` do not differ")
    layout = _DESIGNS[type(study.design)](task)
    # `from` is not an arm of a factorial whose factors have other first levels.
    layout.baseline = next(
        (name for name, arm in layout.arms.items() if arm.uses == start.uses),
        next(iter(layout.arms)),
    )
    return layout


def _model(text: str | None, registry: Registry, document: Document, *key: str) -> Model:
    assert text is not None
    try:
        return resolve(text, registry)
    except UserError as error:
        # The key `arms.NAME` names the arm already; `from` and `to` do not.
        if len(key) == 1 and repr(text) not in str(error):
            error = error.at(repr(text))
        raise error.at(document.at(key)) from None


def _compare(study: Study, registry: Registry, document: Document) -> DesignLayout:
    if study.arms is not None:
        texts = {
            name: arm if isinstance(arm, str) else arm.model for name, arm in study.arms.items()
        }
        arms = {
            name: _model(text, registry, document, "arms", name) for name, text in texts.items()
        }
    else:
        ends = {"from": study.from_, "to": study.to}
        arms = {str(text): _model(text, registry, document, key) for key, text in ends.items()}
    assert isinstance(study.design, Compare)
    baseline = study.design.baseline or next(iter(arms))
    contrasts = [
        Contrast(name, "change", {name: 1.0, baseline: -1.0}) for name in arms if name != baseline
    ]
    return DesignLayout(arms, contrasts, baseline=baseline, replicates=study.replicates)
