"""Looks, passages and surveys as a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from unspool import pages
from unspool._version import __version__
from unspool.errors import shorten
from unspool.inspection import gates
from unspool.inspection.look import Look, Survey
from unspool.inspection.passages import Alignment, Passage
from unspool.pages.charts import Line
from unspool.predictors import ClassifierPredictor, Predictor

STEP, UNIT, TALLEST = 22, 4, 512  # pixels of a step, of a unit, and of a whole heat map at most
MOST_FILTERS = 12


def page(predictor: ClassifierPredictor, looks: Sequence[Look], seen: Survey | None, name: str, command: str) -> bytes:
    """One page: the corpus first, then the texts."""
    return pages.render(
        "inspection.html",
        name=name,
        model=predictor.settings.model,
        parameters=pages.si(predictor.parameters()),
        survey=_survey(predictor, seen) if seen else None,
        texts=[_text(predictor, one) for one in looks],
        passages=[],
        version=__version__,
        command=command,
    )


def page_of_passages(predictor: Predictor, found: Sequence[Passage], name: str, command: str) -> bytes:
    """One page of texts in a model that is no classifier."""
    return pages.render(
        "inspection.html",
        name=name,
        model=f"{predictor.settings.model}, task {predictor.settings.task}",
        parameters=pages.si(predictor.parameters()),
        survey=None,
        texts=[],
        passages=[_passage(one) for one in found],
        version=__version__,
        command=command,
    )


def _passage(one: Passage) -> dict[str, Any]:
    return {
        "text": shorten(one.text, 400),
        "answer": shorten(one.answer, 2000),
        "tokens": [(token, f"rgba(8,48,107,{0.6 * dark:.3f})", remark) for token, remark, dark in one.tokens],
        "meaning": one.meaning,
        "alignment": _alignment(one.alignment) if one.alignment else None,
        **_layers(one),
    }


def _alignment(found: Alignment) -> dict[str, Any]:
    rows, columns = found.weights.shape
    image = pages.heat_map(found.weights, 0.0, 1.0, title=f"where {rows} target tokens look among {columns}")
    return {
        "image": image,
        "width": STEP * columns,
        "height": STEP * rows,
        "source": found.source,
        "target": found.target,
    }


def _text(predictor: ClassifierPredictor, one: Look) -> dict[str, Any]:
    shares = sorted(zip(predictor.labels, one.probabilities.tolist(), strict=True), key=lambda pair: -pair[1])
    return {
        "text": shorten(one.text, 400),
        "label": predictor.labels[one.answer],
        "shares": [(label, pages.percent(share)) for label, share in shares[:10]],
        "attribution": _coloured(one),
        "attributed": one.attribution,
        "error": pages.percent(one.attribution.error),
        "attention": None if one.attention is None else _attention(one),
        "firings": _firings(one),
        **_layers(one),
    }


def _layers(one: Look | Passage) -> dict[str, Any]:
    """What the recurrent layers did."""
    return {
        "width": STEP * len(one.steps),
        "steps": one.steps,
        "maps": [_maps(traced) for traced in one.traces],
        "reach": _reach(one),
    }


def _coloured(one: Look) -> list[tuple[str, str, str]]:
    """(token, colour, what it adds) for each token: red speaks for the answer, blue against it."""
    added = one.attribution.added
    greatest = max(float(np.abs(added).max(initial=0.0)), 1e-12)
    found = []
    for token, value in zip(one.attribution.tokens, added.tolist(), strict=True):
        colour = "178,24,43" if value > 0 else "33,102,172"
        found.append((token, f"rgba({colour},{0.75 * abs(value) / greatest:.3f})", f"{value:+.3f}"))
    return found


def _attention(one: Look) -> list[tuple[str, str, str]]:
    assert one.attention is not None
    greatest = max(float(one.attention.max(initial=0.0)), 1e-12)
    return [
        (token, f"rgba(8,48,107,{0.6 * weight / greatest:.3f})", f"{weight:.3f}")
        for token, weight in zip(one.steps, one.attention.tolist(), strict=True)
    ]


def _maps(traced: gates.LayerTrace) -> dict[str, Any]:
    """Heat maps of one layer and direction, units sorted by how selective they are."""
    found = []
    for kind, values in (*traced.gates.items(), *((f"state {name}", state) for name, state in traced.states.items())):
        if kind in gates.SHARES:
            chosen, order = gates.selectivity(values), gates.most_selective(values)
            low, high, caption = 0.0, 1.0, f"gate {kind}, from 0 (white) to 1 (blue)"
        else:
            chosen = np.abs(values).mean(axis=0)
            order = np.argsort(-chosen, kind="stable")
            high = max(1.0, float(np.abs(values).max(initial=0.0)))
            low, caption = -high, f"{kind}, from {-high:.3g} (blue) to {high:.3g} (red)"
        first = ", ".join(f"{unit} ({chosen[unit]:.2f})" for unit in order[:5])
        sorting = "share of steps near 0 or 1" if kind in gates.SHARES else "mean size"
        height = max(40, min(TALLEST, UNIT * len(order)))
        image = pages.heat_map(values.T[order], low, high, title=f"{kind} of {len(order)} units at each step")
        found.append({"caption": caption, "image": image, "height": height, "first": f"units by {sorting}: {first}"})
    return {"name": traced.name, "maps": found}


def _reach(one: Look | Passage) -> dict[str, Any] | None:
    reaches = [reach for reach in one.reaches if reach.norms.size and reach.norms.max() > 0]
    if not reaches:
        return None
    lines = [Line(reach.name, [(float(k), value) for k, value in enumerate(reach.norms.tolist())]) for reach in reaches]
    return {
        "chart": pages.line_chart(lines, "steps before the end of reading", "size of the derivative"),
        "lines": [reach_in_words(reach) for reach in reaches],
    }


def reach_in_words(reach: gates.Reach) -> str:
    """One sentence about how far back the gradient reaches."""
    fades = reach.fades()
    end = f"below 1 % of its greatest after {fades} steps" if fades is not None else "never below 1 % of its greatest"
    return f"{reach.name}: half of the gradient lies in the last {reach.within(0.5)} of {len(reach.norms)} steps, {end}"


def _firings(one: Look) -> list[tuple[int, str, str, str]]:
    strongest = sorted(one.firings, key=lambda firing: -abs(firing.pushes[one.answer]))[:MOST_FILTERS]
    return [
        (firing.filter, " ".join(firing.ngram), f"{firing.value:.3f}", f"{firing.pushes[one.answer]:+.3f}")
        for firing in strongest
    ]


def _survey(predictor: ClassifierPredictor, seen: Survey) -> dict[str, Any]:
    labels = predictor.labels
    by_label: list[tuple[str, list[tuple[str, str]]]] = []
    filters: list[tuple[int, str, list[tuple[str, str]]]] = []
    if seen.summary is not None:
        for label, found in zip(labels, seen.summary.labels, strict=True):
            by_label.append((label, [(" ".join(ngram), f"{total:.2f} in {times}") for ngram, total, times in found]))
        for k, best in enumerate(seen.summary.filters):
            shown = [(" ".join(ngram), f"{value:.2f}") for ngram, value in best]
            filters.append((k, labels[seen.summary.speaks_for[k]], shown))
    for label, leading in zip(labels, seen.leading, strict=False):
        by_label.append((label, [(ngram, f"{weight:.2f}") for ngram, weight in leading]))
    rows = []
    for (layer, gate), shares in seen.selectivity.items():
        order = np.argsort(-shares, kind="stable")[:8]
        units = ", ".join(f"{unit} ({shares[unit]:.2f})" for unit in order)
        rows.append((layer, gate, f"{shares.mean():.3f}", units))
    return {
        "texts": f"{seen.texts:,}",
        "answered": list(zip(labels, seen.answered, strict=True)),
        "by_label": by_label,
        "filters": filters,
        "selectivity": rows,
    }
