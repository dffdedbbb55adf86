"""A network from another program with the way it reads texts: many to one, for answering only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from unspool.errors import ModelFileError
from unspool.models.graph import ActivationSpec, DenseSpec, EmbeddingSpec, Graph, parse_specs
from unspool.models.graph_layers import FLAT
from unspool.text.sequences import Sequences

BATCH = 64
LEAST_SHARE = 1e-38  # stands for a probability that float32 rounds to 0
LONGEST_SEARCH = 4096


class Imported:
    """A `Graph` that ends in the probabilities of labels, and its `Sequences`.

    classes: 2 for one sigmoid unit, else the units of the softmax. Raises ModelFileError when the network ends
    otherwise, or when the texts can become ids that it has no vector for.
    """

    def __init__(self, graph: Graph, texts: Sequences) -> None:
        self.graph, self.texts = graph, texts
        last, shape = graph.specs[-1], graph.shapes[-1]
        ending = last.activation if isinstance(last, DenseSpec | ActivationSpec) else "nothing"
        if shape.steps != FLAT or (ending, shape.width == 1) not in (("sigmoid", True), ("softmax", False)):
            raise ModelFileError(
                "the network does not end in one sigmoid unit or a softmax, so its answers are no probabilities of "
                f"labels: it ends in {ending} over {shape.width}"
            )
        if texts.length is None and graph.length is not None:
            raise ModelFileError(f"the network reads exactly {graph.length} ids")
        self.classes = 2 if shape.width == 1 else shape.width
        self.rows = min(spec.size for spec in graph.specs if isinstance(spec, EmbeddingSpec))
        highest = max([0, *(texts.words or {}).values(), texts.unknown or 0])
        if highest >= self.rows:
            raise ModelFileError(f"a word has id {highest}, the network's embedding has {self.rows} rows")

    @torch.inference_mode()
    def log_probabilities(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """(N, classes) natural logarithms. Only texts of the same number of ids share a batch: no text gets padding
        that it would not have alone."""
        answers = np.empty((len(texts), self.classes))
        for length, places in self._by_length(rows := self._rows(texts)).items():
            for start in range(0, len(places), BATCH):
                part = places[start : start + BATCH]
                block = self.texts.block([rows[place] for place in part], length)
                answers[part] = self._shares(self.graph(torch.from_numpy(block)))
        return np.log(np.maximum(answers, LEAST_SHARE))

    def tensors(self) -> dict[str, npt.NDArray[np.float32]]:
        """What goes into the safetensors file."""
        return {name: value.numpy() for name, value in self.graph.state_dict().items()}

    def to_json(self) -> dict[str, Any]:
        """What `from_json` takes."""
        return {
            "layers": self.graph.to_json(),
            "length": self.graph.length,
            "texts": self.texts.model_dump(mode="json"),
        }

    @classmethod
    def from_json(cls, values: Any) -> Imported:
        """The network on the current device (or none: torch's meta device), its weights not yet set."""
        if not isinstance(values, dict) or set(values) != {"layers", "length", "texts"}:
            raise ModelFileError("an imported network is described by exactly layers, length and texts")
        length = values["length"]
        if length is not None and (type(length) is not int or not 1 <= length <= 10**6):
            raise ModelFileError("the length of an imported network must be null or a number from 1 to 1,000,000")
        return cls(Graph(parse_specs(values["layers"]), length), Sequences.parse(values["texts"]))

    def _rows(self, texts: Sequence[str]) -> list[list[int]]:
        rows = self.texts.rows(texts)
        if self.texts.words is None and (highest := max((max(row, default=0) for row in rows), default=0)) >= self.rows:
            raise ModelFileError(f"a text holds the id {highest}, the network knows 0 to {self.rows - 1}")
        return rows

    def _by_length(self, rows: list[list[int]]) -> dict[int, list[int]]:
        places: dict[int, list[int]] = defaultdict(list)
        for place, row in enumerate(rows):
            places[self.texts.length or max(len(row), self.texts.shortest)].append(place)
        return places

    def _shares(self, answers: torch.Tensor) -> npt.NDArray[np.float64]:
        shares = answers.double().numpy()
        return np.concatenate([1 - shares, shares], axis=1) if shares.shape[1] == 1 else shares


def shortest_text(graph: Graph) -> int:
    """The least number of ids that the network can read: each convolution and pooling needs one window."""
    for length in range(1, LONGEST_SEARCH):
        try:
            with torch.device("meta"):
                Graph(graph.specs, length)
            return length
        except ModelFileError:
            continue
    raise ModelFileError(f"the network reads no text of fewer than {LONGEST_SEARCH} ids")
