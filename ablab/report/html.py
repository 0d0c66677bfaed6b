"""The report as one HTML file that needs nothing else."""

from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from ablab.files import write_atomically
from ablab.report.figures import bowls_plot, effects_plot
from ablab.report.numbers import digits, p_value, parameters, plain, short, signed
from ablab.report.parts import lines as across_lines
from ablab.report.parts import listings
from ablab.report.sentences import changed_by_tuning, places_of, word
from ablab.report.summary import ArmSummary, Summary
from ablab.report.terminal import footnotes, own_lines, survival, verdicts
from ablab.report.trials import ArmTuning, TrialSummary
from ablab.report.verdicts import EffectSummary
from ablab.study.home import StudyRecord


def write_report(summary: Summary, record: StudyRecord) -> Path:
    """Writes the report beside the study's record and returns its path."""
    template = Environment(autoescape=True).from_string(files("ablab.report").joinpath("report.html.j2").read_text("utf-8"))
    plot = Markup(effects_plot(summary)) if any(e.estimate is not None for e in summary.effects) else None
    sources = record.read()["sources"]
    page = template.render(
        s=summary,
        parts=Markup(_parts(summary)) if summary.parts else None,
        plot=plot,
        verdicts=verdicts(summary),
        bowls=Markup(bowls_plot(summary)) if summary.tuning else None,
        by_tuning=changed_by_tuning(summary),
        notes=footnotes(summary),
        convention=sources["flop_convention"],
        file=sources["command"],
        effects=[_effect_row(e) for e in summary.effects],
        arms=[_arm_row(a, digits(summary.sd)) for a in summary.arms],
        survival=survival(summary),
        trials=[_trial_row(t, digits(summary.sd)) for t in sorted(summary.trials, key=_rank)] if summary.survivors else [],
        tuning=[_tuning_row(arm, digits(summary.sd)) for arm in summary.tuning],
    )
    record.reports.mkdir(parents=True, exist_ok=True)
    path = record.reports / f"{record.revision}.html"
    write_atomically(path, lambda file: file.write(page.encode()))
    return path


def _parts(summary: Summary) -> str:
    """The sections of a study in several parts."""
    template = Environment(autoescape=True).from_string(files("ablab.report").joinpath("parts.html.j2").read_text("utf-8"))
    return template.render(
        metric=summary.metric,
        listings=listings(summary.across),
        lines=across_lines(summary.across),
        parts=[
            {
                "lines": own_lines(summary, part)[1:], "effects": [_effect_row(e) for e in part.effects],
                "arms": [_arm_row(a, digits(part.sd)) for a in part.arms],
                "tuning": [_tuning_row(arm, digits(part.sd)) for arm in part.tuning],
                "plot": Markup(effects_plot(part)) if any(e.estimate is not None for e in part.effects) else None,
            }
            for part in summary.parts
        ],
    )  # fmt: skip


def _effect_row(effect: EffectSummary) -> dict[str, str]:
    places = places_of(effect)
    interval = "–" if effect.low is None else f"{signed(effect.low, places)} to {signed(effect.high, places)}"
    return {
        "name": effect.title, "kind": effect.kind, "estimate": signed(effect.estimate, places), "interval": interval,
        "p": p_value(effect.p), "p_holm": p_value(effect.p_holm), "verdict": word(effect.verdict),
    }  # fmt: skip


def _rank(trial: TrialSummary) -> tuple[bool, list[float]]:
    return trial.values is None, trial.values or []


def _trial_row(trial: TrialSummary, places: int) -> dict[str, str]:
    values = [plain(value, places) for value in trial.values or []]
    return {"arm": trial.arm, "number": str(trial.number), "values": " · ".join(values) or trial.state}


def _tuning_row(arm: ArmTuning, places: int) -> dict[str, str]:
    tried = [f"{parameters(t.params)}: {t.state if t.values is None else plain(t.values[0], places)}" for t in arm.trials]
    best = "not decided yet" if arm.best is None else parameters(arm.best) or "the study's recipe"
    return {"arm": arm.arm, "best": best, "edges": ", ".join(arm.edges), "trials": "; ".join(tried)}


def _arm_row(arm: ArmSummary, places: int) -> dict[str, Any]:
    return {
        "name": arm.name + (" (diverged)" if arm.diverged else ""), "mean": plain(arm.mean, places),
        "sd": plain(arm.sd, places), "n": arm.n, "test": plain(arm.test, places), "parameters": f"{arm.parameters:,}",
        "tokens": "–" if arm.tokens is None else f"{arm.tokens:,.0f}", "flops": short(arm.flops),
        "seconds": plain(arm.seconds, 1), "speed": short(arm.tokens_per_second), "memory": f"{short(arm.peak_memory_bytes)}B",
    }  # fmt: skip
