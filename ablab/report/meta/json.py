"""The evidence on changes as plain JSON types."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ablab.evidence.conflicts import conflict_in
from ablab.evidence.follow_up import follow_up
from ablab.evidence.pooling import ChangeEvidence, SettingResult
from ablab.report.meta.sentences import sentence


def evidence_json(evidence: Sequence[ChangeEvidence]) -> list[dict[str, Any]]:
    """Return one mapping for each change. Runs are left out: they are in the table of `--save`."""
    return [_change(each) for each in evidence]


def _change(evidence: ChangeEvidence) -> dict[str, Any]:
    conflict = conflict_in(evidence)
    study = follow_up(conflict) if conflict else None
    return {
        "change": evidence.change,
        "metric": evidence.metric.name,
        "sentence": sentence(evidence),
        "pooled": asdict(evidence.pooled),
        "trend": asdict(evidence.trend) if evidence.trend else None,
        "settings": [_setting(result) for result in evidence.settings],
        "left_out": [_contrast(contrast) for contrast in evidence.left_out],
        "conflict": [asdict(each) for each in conflict.separations] if conflict else None,
        "study": study.text if study else None,
    }


def _setting(result: SettingResult) -> dict[str, Any]:
    return {
        "estimate": result.estimate,
        "low": result.low,
        "high": result.high,
        "error": result.measured.variance**0.5,
        "dof": result.measured.dof,
        "verdict": result.verdict,
        "cluster": result.cluster,
        **asdict(result.setting),
        "contrasts": [_contrast(contrast) for contrast in result.contrasts],
    }


def _contrast(contrast: Any) -> dict[str, Any]:
    content = asdict(contrast)
    del content["runs"], content["setting"]
    return content
