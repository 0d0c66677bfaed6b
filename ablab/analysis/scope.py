"""What a study's figures hold for, in words."""

from collections.abc import Mapping, Sequence
from typing import Any

from ablab.records.home import parts_alone
from ablab.records.params import parameters
from ablab.spec.seeds import replicates_of
from ablab.spec.seeds import told as seeds_told
from ablab.text.numbers import exact, short
from ablab.text.truncate import in_a_line


def scope(content: Mapping[str, Any]) -> list[str]:
    """What the figures hold for, in words. Of a study in several parts: what they have in
    common.
    """
    if "parts" in content:
        told = [scope(part) for part in parts_alone(content)]
        return [line for line in told[0] if all(line in lines for lines in told)]
    config = content["config"]
    ((kind, amount),) = [(k, v) for k, v in config["budget"].items() if v is not None]
    sizes = (
        ", ".join(f"{k} {v}" for k, v in config["model"].items() if v is not None)
        or "the family's own"
    )
    recipes = [arm["recipe"] for arm in content["arms"]]
    shared = {k: v for k, v in recipes[0].items() if all(r.get(k) == v for r in recipes)}
    told = ", ".join(
        f"{k} {v:g}" if isinstance(v, float) else f"{k} {v}" for k, v in shared.items()
    )
    own = "" if all(r == shared for r in recipes) else "; arms differ in the rest"
    return [
        f"size: {sizes}",
        f"budget: {exact(amount)} {kind} a run, the same for every arm",
        *(
            [f"{matched}: those of the baseline, within 1 %"]
            if (matched := config.get("match"))
            else []
        ),
        f"data: {config['data']['source']}, tokenizer {config['data']['tokenizer']['kind']}",
        *own_data(content["arms"]),
        f"recipe of all arms: {told}{own}",
        _tuned(config),
        (
            f"seeds: {seeds_told(config['seeds'])}; intervals are 95 %, unadjusted for the "
            "number of effects"
        ),
        *(
            [f"replicates: {own} on seeds of their own, compared unpaired"]
            if (own := ", ".join(replicates_of(config)))
            else []
        ),
    ]


def own_tokenizers(arms: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """By arm, the tokenizer that it has in place of the study's, in words; else nothing."""
    return {
        arm["name"]: _tokenizer(**own) if (own := arm.get("data", {}).get("tokenizer")) else ""
        for arm in arms
    }


def own_data(arms: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each tokenizer and each context that arms have in place of the study's."""
    contexts = {
        arm["name"]: f"{own} tokens" if (own := arm.get("data", {}).get("context")) else ""
        for arm in arms
    }
    lines = []
    for what, found in (("tokenizer", own_tokenizers(arms)), ("context", contexts)):
        for told in dict.fromkeys(filter(None, found.values())):
            names = [arm for arm, own in found.items() if own == told]
            lines.append(f"{what} of {in_a_line(names)}: {told}")
    return lines


def _tokenizer(kind: str, **options: Any) -> str:
    return f"{kind} ({parameters(options)})" if options else kind


def holds_for(content: Mapping[str, Any]) -> str:
    """The same in a clause that follows a verdict; each part of a study has its own."""
    if "parts" in content:
        return ""
    config = content["config"]
    ((kind, amount),) = [(k, v) for k, v in config["budget"].items() if v is not None]
    counts = [arm["parameters"] for arm in content["arms"]]
    least, most = short(min(counts)), short(max(counts))
    size = f"{least} parameters" if least == most else f"{least} to {most} parameters"
    tune = config.get("tune")
    recipe = (
        "with one recipe for all, untuned"
        if tune is None
        else f"each arm with the best of {tune['trials']} recipes"
    )
    return (
        f"for models of {size}, trained on {config['data']['source']} text for {exact(amount)} "
        f"{kind} each, {recipe}"
    )


def _tuned(config: Mapping[str, Any]) -> str:
    if (tune := config.get("tune")) is None:
        return "no arm was tuned, so the answer holds for this recipe only"
    apart = ("trials", "share", "seed", "prune", "shared")
    options = ", ".join(
        name for name, values in tune.items() if values is not None and name not in apart
    )
    budget = (
        "its whole budget" if tune["share"] == 1 else f"{100 * tune['share']:g} % of the budget"
    )
    return (
        f"each arm was tuned alike: {tune['trials']} trials over {options}, each at {budget}, on "
        f"seed {tune['seed']}"
    )
