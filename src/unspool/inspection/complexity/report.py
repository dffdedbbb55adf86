"""The costs of networks as rows for people, values for machines, and a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from unspool import pages
from unspool._version import __version__
from unspool.config import Settings
from unspool.inspection.complexity import timing
from unspool.inspection.complexity.formula import Formula
from unspool.inspection.complexity.layers import Layer
from unspool.inspection.complexity.networks import Network, attention_network, network
from unspool.inspection.complexity.timing import KINDS, LABELS, Machine, Seconds, Shape
from unspool.pages.charts import Line

LENGTHS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096)


@dataclass(frozen=True)
class Study:
    """One model: its settings, its counts, and its times where they were measured.

    measured: None for a batch that would take too long, or too much memory.
    """

    settings: Settings
    counted: Network
    attention: bool = False
    machine: Machine | None = None
    measured: tuple[tuple[Shape, Seconds | None], ...] = ()

    def at(self, length: int) -> Network:
        """The same network for texts of another length."""
        if self.attention:
            return attention_network(self.settings, length, kinds=KINDS, labels=LABELS)
        return network(self.settings, length, kinds=KINDS, labels=LABELS)


def timed(study: Study, batch: int) -> Study:
    """The study with this machine's costs, and with its encoder measured at its own length and at a quarter of it."""
    settings, attention = study.settings, study.attention
    machine = timing.calibrate(settings, attention=attention)
    lengths = sorted({max(1, study.counted.length // 4), study.counted.length})
    shapes = [Shape(batch, length, settings.embedding, timing.width(settings)) for length in lengths]
    within = [shape for shape in shapes if not timing.too_much(study.at(shape.length), batch, machine)]
    pairs = [(timing.build(settings, shape, attention=attention)[1], shape) for shape in within]
    found = dict(zip(within, timing.measure_all(pairs), strict=True))
    return replace(study, machine=machine, measured=tuple((shape, found.get(shape)) for shape in shapes))


def values(study: Study) -> dict[str, Any]:
    """Everything about one model, as plain JSON values; times in seconds a batch."""
    counted = study.counted
    result: dict[str, Any] = {
        "model": counted.model,
        "length": counted.length,
        "parameters": counted.parameters(),
        "multiply_adds": counted.multiply_adds(),
        "inference_bytes": counted.live_bytes(),
        "training_bytes": counted.kept_bytes(),
        "depth": counted.depth(),
        "receptive_field": counted.receptive_field(),
        "layers": [_layer_values(layer) for layer in counted.layers],
    }
    if study.machine is not None:
        shape, seconds = study.measured[-1]
        predicted = study.machine.predict(counted, shape.batch)
        result["seconds"] = {
            "batch": shape.batch,
            "inference": {"predicted": predicted.inference, "measured": seconds and seconds.inference},
            "training": {"predicted": predicted.training, "measured": seconds and seconds.training},
        }
    return result


def row(study: Study) -> dict[str, Any]:
    """One line of the table: texts for people."""
    found = values(study)
    times: list[str] = []
    if "seconds" in found:
        for kind in ("inference", "training"):
            pair = found["seconds"][kind]
            times += [_milliseconds(pair["predicted"]), _milliseconds(pair["measured"])]
    return {
        "model": found["model"],
        "parameters": pages.si(found["parameters"]),
        "multiply_adds": pages.si(found["multiply_adds"]),
        "live": pages.si(found["inference_bytes"]),
        "kept": pages.si(found["training_bytes"]),
        "depth": f"{found['depth']:,}",
        "field": "all" if found["receptive_field"] is None else f"{found['receptive_field']:,}",
        "times": times,
    }


def layer_rows(counted: Network) -> list[dict[str, Any]]:
    """One line a layer: every count with its formula."""
    return [
        {
            "name": layer.name,
            "sizes": ", ".join(f"{letter} {size:,}" for letter, size in layer.sizes.items()),
            "cells": [(pages.si(layer.value(formula)), str(formula)) for formula in _formulas(layer)],
            "field": "all" if layer.field is None else str(layer.field),
        }
        for layer in counted.layers
    ]


def page(studies: Sequence[Study], batch: int, command: str) -> bytes:
    """The page of these models side by side."""
    measured = studies[0].machine is not None
    return pages.render(
        "complexity.html",
        length=studies[0].counted.length,
        batch=batch,
        threads=torch.get_num_threads(),
        measured=measured,
        rows=[row(study) for study in studies],
        charts=_charts(studies, batch),
        answer=ANSWER if len(studies) > 1 else "",
        networks=[{"model": study.counted.model, "layers": layer_rows(study.counted)} for study in studies],
        version=__version__,
        command=command,
    )


ANSWER = (
    "Is an RNN similar to a CNN? In products and parameters yes: both grow in proportion to the length. In order no: "
    "a recurrent layer takes one step after another, as many as the text has tokens, and each step has seen all tokens "
    "before it; a convolution computes all windows at once, and each has seen only its own tokens. Attention sees "
    "everything in a fixed number of steps, and pays with products that grow with the square of the length."
)


def _charts(studies: Sequence[Study], batch: int) -> list[tuple[str, Any]]:
    def lines(value: Any, dots: Any = lambda _: ()) -> list[Line]:
        return [
            Line(study.counted.model, [(n, value(study, study.at(n))) for n in LENGTHS], dots(study))
            for study in studies
        ]

    def draw(caption: str, unit: str, drawn: list[Line]) -> tuple[str, Any]:
        return caption, pages.line_chart(drawn, "tokens in a text", unit, log=True)

    charts = []
    if studies[0].machine is not None:
        charts.append(
            draw(
                f"Time of a training step, {batch} texts",
                "milliseconds",
                lines(
                    lambda study, counted: 1000 * study.machine.predict(counted, batch).training,
                    lambda study: [
                        (shape.length, 1000 * seconds.training) for shape, seconds in study.measured if seconds
                    ],
                ),
            )
        )
    charts.append(draw("Computations that must follow one another", "steps", lines(lambda _, c: c.depth())))
    charts.append(draw("Multiply-adds, one text", "millions", lines(lambda _, c: c.multiply_adds() / 1e6)))
    charts.append(draw("Memory kept in training, one text", "MB", lines(lambda _, c: c.kept_bytes() / 1e6)))
    return charts


def _formulas(layer: Layer) -> tuple[Formula, ...]:
    return layer.parameters, layer.products, layer.live, layer.kept, layer.depth


def _layer_values(layer: Layer) -> dict[str, Any]:
    names = ("parameters", "multiply_adds", "inference_values", "training_values", "depth")
    counts = {name: layer.value(formula) for name, formula in zip(names, _formulas(layer), strict=True)}
    formulas = {name: str(formula) for name, formula in zip(names, _formulas(layer), strict=True)}
    return {"name": layer.name, "sizes": layer.sizes, **counts, "field": layer.field, "formulas": formulas}


def _milliseconds(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    return f"{1000 * seconds:.3g} ms" if seconds < 0.9995 else f"{seconds:.3g} s"
