"""`unspool import-keras FILE`: a model trained with Keras becomes a model folder."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from unspool.cli.output import note, result
from unspool.errors import UsageError, shorten


def import_keras(
    file: Path,
    *,
    out: Path | None = None,
    vocabulary: Path | None = None,
    labels: str | None = None,
    length: int | None = None,
    padding: Literal["left", "right"] | None = None,
    keep: Literal["head", "tail"] | None = None,
) -> None:
    """Make a model folder of a .keras or .h5 file; its answers are Keras's to 1e-5.

    Nothing of the file is run. How texts were cut and padded is not in the file: give the vocabulary, and what differs
    from Keras's usual ways (pad_sequences adds zeros on the left and keeps the tail; after TextVectorization they are
    on the right and the head is kept). A network without masks reads the padding, so length and side must be those of
    its training; with masks, or without padding, they make no difference.

    Parameters
    ----------
    file
        What model.save() wrote.
    out
        Folder of the model; by default the file's name with .model, in the current folder.
    vocabulary
        JSON of Tokenizer.to_json() or word_index, or TextVectorization's words, one a line; without it, texts are ids.
    labels
        Names of the labels in the order of the outputs, with commas; by default 0,1,2,…
    length
        Ids in every text; by default what the network says, or as many as each text has.
    padding
        Where zeros are added: left or right.
    keep
        Which end of a longer text is read: head or tail.
    """
    from unspool._version import __version__
    from unspool.config import IMPORTED, parse
    from unspool.export.keras import read_keras
    from unspool.export.keras_vocabulary import read_vocabulary
    from unspool.files import sha256_of
    from unspool.models.graph import EmbeddingSpec
    from unspool.models.imported import Imported, shortest_text
    from unspool.predictors import ClassifierPredictor, save
    from unspool.text.sequences import Sequences

    folder = out or Path(file.name.removesuffix(file.suffix) + ".model")
    if folder.exists():
        raise UsageError(f"{shorten(folder, 300)} exists: choose another --out")
    graph = read_keras(file)
    if length is not None and graph.length not in (None, length):
        raise UsageError(f"--length is {length}, but the network reads exactly {graph.length} ids")
    rows = min((spec.size for spec in graph.specs if isinstance(spec, EmbeddingSpec)), default=1)
    ways = read_vocabulary(vocabulary, rows) if vocabulary else {"lowercase": False, "blanked": ""}
    ways |= {name: value for name, value in (("padding", padding), ("keep", keep)) if value is not None}
    texts = Sequences.parse({**ways, "length": graph.length or length, "shortest": shortest_text(graph)})
    network = Imported(graph, texts)
    settings = parse({"model": IMPORTED, "level": "word", "lowercase": texts.lowercase})
    predictor = ClassifierPredictor(_names(labels, network.classes), settings, network)
    predictor.card = {"data": file.name, "file_sha256": sha256_of(file), "unspool": __version__}
    save(predictor, folder, f"# {folder.name}\n\nImported from the Keras file {file.name} by unspool {__version__}.\n")
    masked = any(isinstance(spec, EmbeddingSpec) and spec.mask for spec in graph.specs)
    size = f"{texts.length} ids" if texts.length else "as many ids as a text has"
    note(f"layers     {len(graph.specs)}, {predictor.parameters():,} parameters")
    note(f"reads      {size}, zeros on the {texts.padding}, the {texts.keep} of a longer text")
    note(f"padding    {'is masked' if masked else 'is read like a word, as in Keras without mask_zero'}")
    result(f"model      {folder}")


def _names(labels: str | None, count: int) -> list[str]:
    names = labels.split(",") if labels is not None else [str(number) for number in range(count)]
    if len(names) != count or len(set(names)) != count:
        raise UsageError(f"--labels names {len(set(names))} different labels, the network answers with {count}")
    return names
