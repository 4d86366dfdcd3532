"""What a sweep leaves behind: a table, a recipe, a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from silk_sfm.evaluation.tables import Results
from silk_sfm.evaluation.tune_plot import SweepPanel, write_sweep_plot
from silk_sfm.stages.recipe_file import write_recipe
from silk_sfm.stages.tune import Tuner
from silk_sfm.stages.tune_choices import Choice
from silk_sfm.stages.tune_scores import Tried


def write_tuned(tuner: Tuner) -> tuple[str, list[Path]]:
    """Write all results of a sweep that has run; returns the text to print and the files."""
    ranked = sorted(tuner.tried, key=lambda each: -each.score)
    score = tuner.score_name
    title = f"{len(ranked)} choices on {tuner.plan()}, best {score} first"
    results = Results(title, [tried.row(tuner.base, tuner.options.auc_degrees) for tried in ranked])
    best = tuner.best
    shown = str(best.choice)
    if best.choice.verifier_threshold_px is not None:
        shown += f", RANSAC {best.choice.verifier_threshold_px:g} px"
    comment = f"Found by `silk-sfm tune` on {tuner.plan()}: {score} {best.score:.1f}.\n{shown}"
    recipe, picture = tuner.out / "tuned.toml", tuner.out / "tuned.png"
    write_recipe(best.choice.recipe(tuner.base), recipe, comment)
    write_sweep_plot(title, score, _panels(tuner), picture)
    text = f"{results.text()}\n\nbest: {shown} -> {recipe}"
    return text, [recipe, *results.write(tuner.out), picture]


def _panels(tuner: Tuner) -> list[SweepPanel]:
    sweep = tuner.groups
    return [
        _panel("longer side in px", sweep[0], lambda each: each.max_size, _view_label),
        *(
            _panel(varied, tried, value, lambda each: each.view)
            for varied, tried, value in (
                ("threshold of the matcher", sweep[1], lambda each: each.matcher_threshold),
                ("RANSAC threshold in px", sweep[2], lambda each: each.verifier_threshold_px),
            )
            if tried
        ),
    ]


def _panel(
    varied: str,
    tried: Sequence[Tried],
    value: Callable[[Choice], float | None],
    label: Callable[[Choice], str],
) -> SweepPanel:
    lines: dict[str, dict[float, float]] = {}
    for each in tried:
        at = value(each.choice)
        if at is not None:
            lines.setdefault(label(each.choice), {})[at] = each.score
    return SweepPanel(varied, lines)


def _view_label(choice: Choice) -> str:
    weights = "" if choice.weights is None else f"{choice.weights}, "
    return f"{weights}recipe's keypoints" if choice.top_k is None else f"{weights}{choice.top_k}"
