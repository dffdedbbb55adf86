"""`unspool generate MODEL`: text as it is made."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from unspool.cli.output import note, result, result_json, shown
from unspool.errors import DataError, UsageError, shorten

if TYPE_CHECKING:
    from unspool.decoding.sampling import Sampling
    from unspool.predictors import GeneratorPredictor
    from unspool.tasks.generate.samples import Sample
    from unspool.text.streams import Tokens

OFFERED = 9


def generate(
    model: Path,
    *,
    prompt: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    random_word: bool = False,
    label: str | None = None,
    length: int = 500,
    temperature: float = 0.8,
    top_k: int | None = None,
    top_p: float = 1.0,
    repetition_penalty: float = 1.0,
    stop: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    samples: int = 1,
    seed: int | None = None,
    interactive: bool = False,
    novelty: Path | None = None,
    json: bool = False,
) -> None:
    """Write text with a language model: one sample appears as it is made, several one after the other.

    Parameters
    ----------
    model
        A model folder, or the folder of a finished run.
    prompt
        Text to go on from.
    random_word
        Go on from a random word, drawn with the seed: one of the vocabulary of a model of words, else the first whole
        word that the model makes up.
    label
        Write a document of this label, if the model was trained with labels.
    length
        Tokens to make, at most: characters, words, … as the model was trained.
    temperature
        Below 1 more likely text, above 1 bolder; 0 always takes the likeliest token.
    top_k
        Choose among the k likeliest tokens only.
    top_p
        Choose among the fewest tokens whose probabilities sum to p only.
    repetition_penalty
        Multiplies the log-probability of the last 64 tokens; 1 for none.
    stop
        End a sample before this text. Of a token that begins before it, --json has what stands before it.
    samples
        How many.
    seed
        Same seed, same text; drawn and told when not given.
    interactive
        Offer the likeliest tokens at each step, and go on with the one chosen.
    novelty
        A corpus: tell how much of each sample stands in it word for word. With --json it is the field `novelty`:
        `seen_8grams`, the share of the 8-grams of tokens that stand in the corpus, `longest_run`, the tokens of the
        longest run that does, `longest_text`, that run, and `tokens`, how many there are.
    json
        One JSON object a sample: its text, and every token with its log-probability.
    """
    from unspool.decoding.sampling import Sampling
    from unspool.tasks.generate.samples import side_by_side

    _check_flags(prompt, random_word, length, samples, stop)
    drawn = random_word or not (interactive or temperature == 0)  # not what a person chooses, nor the likeliest
    used_seed = random.SystemRandom().randrange(2**32) if seed is None else seed
    how = Sampling(temperature, top_k, top_p, repetition_penalty, used_seed)
    if interactive:
        _check_interactive(json or samples > 1 or stop is not None or how != Sampling(0.8, seed=used_seed))
    loaded = _loaded(model)
    as_label = loaded.labels[used_seed % len(loaded.labels)] if label is None and loaded.labels else label
    words = loaded.random_word(used_seed, as_label) if random_word else prompt or ""
    ids, unknown = loaded.prompt_ids(words, as_label)
    if as_label is not None and label is None:
        note(f"label      {shorten(as_label)} (--label {'|'.join(shorten(name, 30) for name in loaded.labels[:8])})")
        drawn = True
    if drawn and seed is None:
        note(f"seed       {used_seed}")
    if unknown:
        named = ", ".join(repr(shorten(piece, 30)) for piece in unknown[:8])
        note(f"unknown    {named}: the model never saw {'them' if len(unknown) > 1 else 'it'}")
    corpus = None if novelty is None else _corpus(loaded, novelty)  # before the text, not after it, a wrong one is told
    if json:
        told_of_all = {"seed": used_seed, "label": as_label, "prompt": words}
        _write_json(loaded, told_of_all, side_by_side(loaded, ids, how, length, stop, samples), corpus)
        return
    if interactive:
        made = _interactive(loaded, words, ids, length)
    elif samples == 1:
        made = _one(loaded, words, ids, how, length, stop)
    else:
        made = _write_samples(loaded, words, side_by_side(loaded, ids, how, length, stop, samples))
    if corpus is not None:
        _tell_novelty(loaded, made, corpus)


def _check_flags(prompt: str | None, random_word: bool, length: int, samples: int, stop: str | None) -> None:
    if prompt is not None and random_word:
        raise UsageError("give --prompt or --random-word, not both")
    for name, value in (("length", length), ("samples", samples)):
        if value < 1:
            raise UsageError(f"--{name} is {value}: expected 1 or more")
    if stop == "":
        raise UsageError("--stop is empty: give the text before which a sample ends, or leave it out")


def _check_interactive(others_given: bool) -> None:
    if not sys.stdin.isatty():
        raise UsageError("--interactive needs a terminal to ask on: standard input is not a terminal")
    if others_given:
        raise UsageError(
            "--interactive asks for each token: it goes without --json, --stop, --samples and the flags of sampling"
        )


def _loaded(model: Path) -> GeneratorPredictor:
    from unspool import predictors
    from unspool.predictors import GeneratorPredictor

    loaded = predictors.load(model)
    if not isinstance(loaded, GeneratorPredictor):
        raise UsageError(f"{shorten(model, 300)} is a model of the task {loaded.task!r}: it cannot generate")
    return loaded


def _one(loaded: GeneratorPredictor, prompt: str, ids: Any, how: Sampling, length: int, stop: str | None) -> list[str]:
    """A single sample, written token by token."""
    from unspool.tasks.generate.samples import Sample

    _write(prompt)
    sample, waiting, written = Sample(stop), "", 0
    for (token,) in loaded.generate(ids, how, length):
        sample.add(token)
        if token is None or sample.finish:
            break
        waiting += token.text
        safe = max(0, len(waiting) - (len(stop) - 1 if stop else 0))  # what may be the beginning of --stop waits
        _write(waiting[:safe])
        waiting, written = waiting[safe:], written + safe
    text = sample.text
    _write(text[written:] + "\n")
    return [text]


def _write_samples(loaded: GeneratorPredictor, prompt: str, samples: Iterator[Sample]) -> list[str]:
    """Samples as text, one after the other."""
    texts: list[str] = []
    for number, sample in enumerate(samples):
        texts.append(sample.text)
        if number:
            result("" if loaded.running else "---" if "\n" in texts[-1].strip() else "")
        _write(prompt + texts[-1] + "\n")
    return texts


def _write_json(
    loaded: GeneratorPredictor, told: dict[str, Any], samples: Iterator[Sample], corpus: Tokens | None
) -> None:
    """Samples as JSON, one object a line. told: what is the same in all of them. corpus: to measure novelty by."""
    from unspool.tasks.generate.sampler import novelty

    for number, sample in enumerate(samples):
        tokens = [{"text": one.text, "log_probability": round(one.log_probability, 6)} for one in sample.tokens]
        own: dict[str, Any] = {"text": sample.text, "tokens": tokens, "finish": sample.finish or "length"}
        if corpus is not None:
            own["novelty"] = novelty(loaded, sample.text, corpus)
        result_json({"sample": number, **told, **own})


def _interactive(loaded: GeneratorPredictor, prompt: str, ids: Any, length: int) -> list[str]:
    """The person chooses each token among the likeliest."""
    import numpy as np

    from unspool.text.streams import START

    speller, text = loaded.speller(ids), ""
    log_probs, state = loaded.read(ids[None], loaded.network.no_state(1))
    for _ in range(length):
        best = np.argsort(-log_probs[0], kind="stable")[:OFFERED]
        best = best[np.isfinite(log_probs[0, best])]
        note(f"\n{(prompt + text)[-300:]}")
        for number, token in enumerate(best.tolist(), start=1):
            begins = "(the end)" if loaded.ends else "\n"
            name = shown(begins if token == START else loaded.tokenizer.token(token))
            note(f"  {number}  {np.exp(log_probs[0, token]):6.1%}  {name}")
        chosen = _choice(len(best))
        if chosen is None or (loaded.ends and best[chosen] == START):
            break
        text += speller.add(int(best[chosen]))
        log_probs, state = loaded.step(best[chosen : chosen + 1].astype(np.int64), state)
    text += speller.finish()
    _write(prompt + text + "\n")
    return [text]


def _choice(offered: int) -> int | None:
    """Which of the tokens offered was chosen, from 0; None when the text is to end. Anything else is asked again."""
    while True:
        sys.stderr.write(f"1 to {offered}, enter for the first, q to end: ")
        sys.stderr.flush()
        answer = sys.stdin.readline()
        chosen = answer.strip()
        if not answer or chosen == "q":
            return None
        if not chosen:
            return 0
        if chosen.isascii() and chosen.isdecimal() and 1 <= int(chosen[:9]) <= offered:
            return int(chosen[:9]) - 1
        note(f"{shorten(chosen, 40)!r} is none of the numbers offered")


def _corpus(loaded: GeneratorPredictor, corpus: Path) -> Tokens:
    """The ids of a text file, a table or a named corpus; DataError when there is nothing in it."""
    from unspool import corpora
    from unspool.text.readers import read_documents
    from unspool.text.streams import Tokens

    documents = read_documents(corpora.locate(str(corpus), notice=note))
    if not documents.characters:
        raise DataError(f"{shorten(corpus, 300)} holds no text to compare with")
    return Tokens.collect(loaded.encoder.stream(documents.pieces()), loaded.encoder.kind)


def _tell_novelty(loaded: GeneratorPredictor, texts: list[str], corpus: Tokens) -> None:
    from unspool.tasks.generate.sampler import novelty

    for text in texts:
        found = novelty(loaded, text, corpus)
        note(
            f"novelty    {found['seen_8grams']:.0%} of the 8-grams of {found['tokens']:,} tokens stand in the corpus; "
            f"longest run copied: {found['longest_run']} tokens, {shorten(found['longest_text'])!r}"
        )


def _write(text: str) -> None:
    """A part of a line, at once; nothing that would steer a terminal."""
    safe = "".join(character if character in "\n\t" else shown(character) for character in text)
    sys.stdout.buffer.write(safe.encode("utf-8", errors="backslashreplace"))
    sys.stdout.buffer.flush()
