"""What a planned study can tell, in lines."""

from ablab.analysis.forecast.power import PowerForecast
from ablab.stats.inference.forecast import EquivalenceForecast
from ablab.stats.inference.power import MOST_SEEDS


def forecast_lines(forecast: PowerForecast, metric: str) -> list[str]:
    """Return what a planned study can detect, and that *equivalent* is out of its reach if so."""
    seeds = f"up to {forecast.seeds}" if forecast.adaptive else str(forecast.seeds)
    lines = [
        f"with {seeds} seeds a change must be worth ±{forecast.effect:.2g} {metric} to be detected "
        f"with 80 % power (run-to-run sd {forecast.sd:.2g}, from revision {forecast.revision})"
    ]
    if forecast.dependence is not None:
        lines.append(
            f"a change's effects at the two levels of a nuisance factor must differ by "
            f"{forecast.dependence:.2g} {metric} for this to be detected with 80 % power"
        )
    if forecast.equivalence is None or forecast.shows_equivalence:
        return lines
    lines.append(_out_of_reach(forecast, forecast.equivalence, metric))
    if forecast.adaptive:
        lines.append(
            "seeds until: decided will hardly end early for such a change: its arms take all "
            f"{forecast.seeds} seeds, and it is likely to stay inconclusive"
        )
    return lines


def _out_of_reach(forecast: PowerForecast, shown: EquivalenceForecast, metric: str) -> str:
    needed = f"more than {MOST_SEEDS}" if shown.seeds_needed is None else str(shown.seeds_needed)
    where = " of a fixed study" if forecast.adaptive else ""
    share = f" (margin {forecast.share})" if forecast.share else ""
    power = f"{shown.power:.0%}".replace("%", " %") if shown.power >= 0.005 else "under 1 %"
    return (
        f"'equivalent' within ±{forecast.margin:.2g} {metric} needs {needed} seeds{where} at this "
        f"noise{share}: with {forecast.seeds} seeds a change without an effect gets this verdict "
        f"with {power} power"
    )
