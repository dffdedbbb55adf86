"""`unspool inspect MODEL`: what a trained model does with a text, or a classifier with a corpus."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from unspool.cli.options import ReadFlags
from unspool.cli.output import note, result, result_json, shown
from unspool.errors import UsageError, shorten

if TYPE_CHECKING:
    from unspool.inspection.look import Look, Survey
    from unspool.inspection.passages import Passage
    from unspool.predictors import ClassifierPredictor, Predictor

BARS = "▁▂▃▄▅▆▇█"
MOST_BARS = 60
MOST_TEXTS = 2000


def inspect(
    model: Path,
    *texts: str,
    corpus: str | None = None,
    out: Path | None = None,
    json: bool = False,
    read: ReadFlags | None = None,
) -> None:
    """Show what a model does with each text: gates and states, and how far back the gradient reaches.

    Of a classifier also what every token adds to the answer, filters and attention; of a tagger the tags and how sure
    they are, of a language model the surprise of each token, of a translator the alignment.

    Parameters
    ----------
    model
        A model folder, or the folder of a finished run.
    texts
        The texts.
    corpus
        A file of texts, or the name of a corpus, for a classifier to summarise: the best n-grams of filters and
        labels, selectivity.
    out
        The HTML page; by default inspection.html, or inspection-2.html, … in the current folder.
    json
        One JSON object on stdout.
    """
    from unspool import files, predictors
    from unspool.inspection.look import look, survey
    from unspool.inspection.page import page

    if not texts and corpus is None:
        raise UsageError("there is nothing to look at: give texts, or a file with --corpus")
    if out is not None and out.exists():
        raise UsageError(f"{shorten(out, 300)} exists: choose another --out")
    loaded = predictors.load(model)
    target, command = out or _free(), "unspool " + " ".join(sys.argv[1:])
    if loaded.settings.blend:
        note(
            f"blend      the linear baseline has {loaded.settings.blend:.0%} of the answer; looked into is the network"
        )
    if not isinstance(loaded, predictors.ClassifierPredictor):
        if corpus is not None:
            raise UsageError(f"--corpus summarises classifiers; this model learned the task {loaded.task!r}")
        _inspect_passages(loaded, texts, target, model.name, command, json=json)
        return
    seen = None if corpus is None else survey(loaded, _corpus(corpus, read or ReadFlags()))
    looks = [look(loaded, text) for text in texts]
    files.publish(target, page(loaded, looks, seen, model.name, command))
    note(f"page       {target}")
    if json:
        result_json({"texts": [_values(loaded, one) for one in looks], "corpus": _survey_values(loaded, seen)})
        return
    if seen is not None:
        _print_survey(loaded, seen)
    for one in looks:
        _print_look(loaded, one)


def _inspect_passages(
    predictor: Predictor, texts: Sequence[str], target: Path, name: str, command: str, *, json: bool
) -> None:
    from unspool import files
    from unspool.inspection.page import page_of_passages
    from unspool.inspection.passages import passage

    found = [passage(predictor, text) for text in texts]
    files.publish(target, page_of_passages(predictor, found, name, command))
    note(f"page       {target}")
    if json:
        result_json({"texts": [_passage_values(one) for one in found]})
        return
    for one in found:
        result(f"\n{shown(shorten(one.text, 200))}")
        result(f"  answer       {shown(shorten(one.answer, 400))}")
        if one.alignment is not None:
            looks = one.alignment.weights.argmax(axis=1)
            pairs = zip(one.alignment.target, looks, strict=True)
            result("  looks at     " + "   ".join(f"{shown(a)} ← {shown(one.alignment.source[k])}" for a, k in pairs))
        _print_layers(one)


def _passage_values(one: Passage) -> dict[str, object]:
    aligned = one.alignment
    return {
        "answer": one.answer,
        "tokens": [token for token, _, _ in one.tokens],
        "remarks": [remark for _, remark, _ in one.tokens],
        "alignment": aligned
        and {"source": aligned.source, "target": aligned.target, "weights": aligned.weights.tolist()},
        "reach": {reach.name: reach.norms.tolist() for reach in one.reaches},
    }


def _corpus(name: str, read: ReadFlags) -> list[str]:
    from unspool import corpora
    from unspool.text.readers import read_texts

    found = read_texts(corpora.locate(name, notice=note), read.options())
    for line in found.notes:
        note(f"read       {line}")
    if len(found.texts) > MOST_TEXTS:
        note(f"corpus     the first {MOST_TEXTS:,} of {len(found.texts):,} texts")
    return found.texts[:MOST_TEXTS]


def _free() -> Path:
    candidate, number = Path("inspection.html"), 2
    while candidate.exists():
        candidate, number = Path(f"inspection-{number}.html"), number + 1
    return candidate


def _print_look(predictor: ClassifierPredictor, one: Look) -> None:
    found = one.attribution
    result(f"\n{shown(shorten(one.text, 200))}")
    result(f"  answer       {shown(predictor.labels[one.answer])} {one.probabilities[one.answer]:.4f}")
    order = np.argsort(-np.abs(found.added), kind="stable")[:10]
    result("  tokens       " + "   ".join(f"{shown(found.tokens[k])} {found.added[k]:+.2f}" for k in order))
    how = f"{found.points} points" if found.points else "exact"
    result(
        f"  log-odds     {found.before:+.3f} without, {found.after:+.3f} with the tokens; "
        f"completeness error {100 * found.error:.2f} % ({how})"
    )
    if one.attention is not None:
        order = np.argsort(-one.attention, kind="stable")[:8]
        result("  attention    " + "   ".join(f"{shown(one.steps[k])} {one.attention[k]:.2f}" for k in order))
    for firing in sorted(one.firings, key=lambda firing: -abs(firing.pushes[one.answer]))[:8]:
        result(
            f"  filter {firing.filter:4}  fired on {shown(' '.join(firing.ngram))!s} ({firing.value:.2f}), "
            f"adds {firing.pushes[one.answer]:+.2f}"
        )
    _print_layers(one)


def _print_layers(one: Look | Passage) -> None:
    from unspool.inspection import gates
    from unspool.inspection.page import reach_in_words

    for traced in one.traces:
        for gate in (name for name in traced.gates if name in gates.SHARES):
            values = traced.gates[gate]
            shares, unit = gates.selectivity(values), int(gates.most_selective(values)[0])
            what = f"{shares.mean():.2f} near 0 or 1; unit {unit} ({shares[unit]:.2f}) {_bars(values[:, unit], 0, 1)}"
            result(f"  {traced.name}, gate {gate}: {what}")
        for state, values in traced.states.items():
            unit = int(np.abs(values).mean(axis=0).argmax())
            most = float(np.abs(values[:, unit]).max())
            line = _bars(values[:, unit], -most, most)
            result(f"  {traced.name}, state {state}: largest in unit {unit}, from {-most:.2f} to {most:.2f} {line}")
    for reach in one.reaches:
        result(f"  gradient     {reach_in_words(reach)}")


def _bars(values: npt.NDArray[np.float64], low: float, high: float) -> str:
    """One character a step, of the first `MOST_BARS`."""
    shares = (values[:MOST_BARS] - low) / max(high - low, 1e-12)
    return "".join(BARS[min(len(BARS) - 1, int(len(BARS) * share))] for share in shares)


def _print_survey(predictor: ClassifierPredictor, seen: Survey) -> None:
    labels = [shown(label) for label in predictor.labels]
    result(
        f"corpus of {seen.texts:,} texts; answered "
        + ", ".join(f"{a} {b:,}" for a, b in zip(labels, seen.answered, strict=True))
    )
    if seen.summary is not None:
        for label, found in zip(labels, seen.summary.labels, strict=True):
            result(f"  {label}: " + "   ".join(f"{shown(' '.join(ngram))} {total:+.2f}" for ngram, total, _ in found))
    for label, leading in zip(labels, seen.leading, strict=False):
        result(f"  {label}: " + "   ".join(f"{shown(ngram)} {weight:+.2f}" for ngram, weight in leading))
    for (layer, gate), shares in seen.selectivity.items():
        order = np.argsort(-shares, kind="stable")[:5]
        result(
            f"  {layer}, gate {gate}: {shares.mean():.3f} near 0 or 1; units "
            + ", ".join(f"{unit} ({shares[unit]:.2f})" for unit in order)
        )


def _values(predictor: ClassifierPredictor, one: Look) -> dict[str, object]:
    found = one.attribution
    return {
        "label": predictor.labels[one.answer],
        "probability": float(one.probabilities[one.answer]),
        "tokens": found.tokens,
        "attribution": found.added.tolist(),
        "log_odds": {"before": found.before, "after": found.after},
        "completeness_error": found.error,
        "attention": None if one.attention is None else one.attention.tolist(),
        "filters": [
            {"filter": f.filter, "ngram": list(f.ngram), "value": f.value, "adds": float(f.pushes[one.answer])}
            for f in one.firings
        ],
        "reach": {reach.name: reach.norms.tolist() for reach in one.reaches},
    }


def _survey_values(predictor: ClassifierPredictor, seen: Survey | None) -> dict[str, object] | None:
    if seen is None:
        return None
    summary = seen.summary
    return {
        "texts": seen.texts,
        "answered": dict(zip(predictor.labels, seen.answered, strict=True)),
        "filters": summary and [[[" ".join(ngram), value] for ngram, value in best] for best in summary.filters],
        "labels": summary
        and [[[" ".join(ngram), total, times] for ngram, total, times in best] for best in summary.labels],
        "leading": seen.leading,
        "selectivity": {f"{layer}, {gate}": shares.tolist() for (layer, gate), shares in seen.selectivity.items()},
    }
