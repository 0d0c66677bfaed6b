"""The scope of the results of a study, in words."""

from collections.abc import Sequence

from ablab.analysis.costs import tokenizers_of
from ablab.analysis.summary import StudySummary
from ablab.design.nuisance import NuisanceDesign
from ablab.records.study_content import Arm, PartContent
from ablab.spec.nuisance import varied
from ablab.spec.seeds import seeds_text
from ablab.spec.study import Study
from ablab.spec.trial_share import trial_share
from ablab.text.numbers import exact, short
from ablab.text.truncate import in_a_line

# Settings of `tune` that are not options of the recipe.
_NOT_OPTIONS = ("trials", "share", "seed", "prune", "shared")


def common_scope(summary: StudySummary) -> list[str]:
    """Return the scope that all parts of a study have in common."""
    scopes = [scope(part.content) for part in summary.parts]
    return [line for line in scopes[0] if all(line in lines for lines in scopes)]


def scope(part: PartContent) -> list[str]:
    """Return the scope of the results of a part of a study."""
    study = part.study
    data = study.data
    lines = [
        f"size: {_sizes(study)}",
        f"budget: {_budget(study)} a run, the same for every arm",
    ]
    if study.match is not None:
        lines.append(f"{study.match}: those of the baseline, within 1 %")
    lines += [
        f"data: {data.source}, tokenizer {data.tokenizer.kind}",
        *own_data(part.arms),
        f"recipe of all arms: {_recipe(study, part.arms)}",
        _tuning(study, len(part.arms)),
        (
            f"seeds: {seeds_text(study.seeds)}; intervals are 95 %, unadjusted for the number of "
            "effects"
        ),
    ]
    if study.replicates:
        arms = ", ".join(study.replicates)
        lines.append(f"replicates: {arms} on seeds of their own, compared unpaired")
    return [*lines, *_reliance_on_time(study)]


def _reliance_on_time(study: Study) -> list[str]:
    """Return what a reader must know where the speed of this machine decides."""
    lines = []
    if study.budget is not None and study.budget.seconds is not None:
        lines.append(
            "a budget in seconds: how many tokens a run saw depends on this machine and on what "
            "else it did, so that another machine, and even another run here, may give other "
            "effects"
        )
    if "cost/seconds" in study.objectives:
        lines.append(
            "cost/seconds of the runs includes load from other processes, which may have favoured "
            "some arms"
        )
    if study.hardware.processes > 1:
        lines.append("costs in time: not compared, since several processes share each run")
    return lines


def holds_for(part: PartContent) -> str:
    """Return the scope as a clause that follows a verdict."""
    study = part.study
    counts = [arm.parameters for arm in part.arms]
    least = short(min(counts))
    most = short(max(counts))
    size = f"{least} parameters" if least == most else f"{least} to {most} parameters"
    recipe = "with one recipe for all, untuned"
    if study.tune is not None:
        recipe = f"each arm with the best of {study.tune.trials} recipes"
        if study.tune.by_surface:
            recipe = "each arm with its own learning rate"
    nuisance = NuisanceDesign.of(study)
    if nuisance is not None:
        recipe = f"over {nuisance.text}"
    return (
        f"for models of {size}, trained on {study.data.source} text for {_budget(study)} each, "
        f"{recipe}"
    )


def own_data(arms: Sequence[Arm]) -> list[str]:
    """Return a line for each tokenizer and context that some arms have instead of the study's."""
    contexts = {}
    for arm in arms:
        context = arm.data.get("context")
        contexts[arm.name] = f"{context} tokens" if context else ""
    lines = []
    for quantity, texts in (("tokenizer", tokenizers_of(arms)), ("context", contexts)):
        for text in dict.fromkeys(filter(None, texts.values())):
            names = [arm for arm, other in texts.items() if other == text]
            lines.append(f"{quantity} of {in_a_line(names)}: {text}")
    return lines


def _sizes(study: Study) -> str:
    sizes = study.model.model_dump(exclude_none=True)
    return ", ".join(f"{name} {size}" for name, size in sizes.items()) or "the family's own"


def _budget(study: Study) -> str:
    budget = study.budget
    return f"{exact(budget.amount)} {budget.kind}"


def _recipe(study: Study, arms: Sequence[Arm]) -> str:
    recipes = [
        {k: v for k, v in arm.recipe.items() if k not in varied(study.nuisance, arm.recipe)}
        for arm in arms
    ]
    common = {k: v for k, v in recipes[0].items() if all(r.get(k) == v for r in recipes)}
    text = ", ".join(
        f"{k} {v:g}" if isinstance(v, float) else f"{k} {v}" for k, v in common.items()
    )
    return text if all(r == common for r in recipes) else f"{text}; arms differ in the rest"


def _tuning(study: Study, arms: int) -> str:
    tune = study.tune
    if study.nuisance is not None:
        return "no arm was tuned, so the answer holds for this recipe over its nuisance factors"
    if tune is None:
        return "no arm was tuned, so the answer holds for this recipe only"
    options = tune.model_dump(exclude_none=True, exclude=set(_NOT_OPTIONS))
    share = trial_share(study, arms)
    budget = "its whole budget" if share == 1 else f"{100 * share:g} % of the budget"
    more = ", then more around each optimum where a step costs more than the margin"
    return (
        f"each arm was tuned alike: {tune.trials} trials over {', '.join(options)}"
        f"{more if tune.by_surface else ''}, each at {budget}, on seed {tune.seed}"
    )
