"""The translator: padding changes nothing, whole targets are steps in a row, gradients, settings."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional

from unspool import config
from unspool.config import CELLS, MODELS_OF, Settings
from unspool.errors import SettingError
from unspool.models.recipes import settle
from unspool.models.translator import PairBatch, Translator

SMALL: dict[str, Any] = {"task": "translate", "embedding": 6, "hidden": 5, "level": "bpe", "joint": True}
SIZE = 12
KINDS: list[dict[str, Any]] = [
    *({"model": cell} for cell in CELLS),
    {"model": "dilated-cnn", "filters": 8, "layers": 2},
    {"model": "gru", "attention": "dot", "decoder_layers": 1},
    {"model": "gru", "attention": "additive", "input_feeding": True},
    {"model": "lstm", "attention": "none", "tied": False},
    {"model": "lstm", "joint": False, "bidirectional": False, "layers": 2, "residual": True},
    {"model": "gru", "decoder": "qrnn"},
]


def make(**given: Any) -> Translator:
    settings = settle({**SMALL, **given})
    torch.manual_seed(1)
    decoder = settings.decoder or (settings.model if settings.model != "dilated-cnn" else "gru")
    return Translator(settings.model_copy(update={"decoder": decoder}), SIZE - (not settings.joint), SIZE)


def pairs(margin: int = 0, filling: int = 0) -> PairBatch:
    generator = torch.Generator().manual_seed(2)
    lengths, target_lengths = torch.tensor([5, 1, 3]), torch.tensor([2, 4, 1])
    source, target = (torch.randint(2, SIZE - 1, (3, n), generator=generator) for n in (5, 4))
    blocks = []
    for block, real, end in ((source, lengths, SIZE - 1), (target, target_lengths, SIZE)):
        block[torch.arange(3), real - 1] = end
        block = block.masked_fill(torch.arange(block.shape[1]) >= real[:, None], filling)
        blocks.append(functional.pad(block, (0, margin), value=filling))
    return PairBatch(blocks[0], lengths, blocks[1], target_lengths)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_padding_and_other_rows_change_nothing(kind: dict[str, Any]) -> None:
    network, batch = make(**kind).eval(), pairs()
    with torch.inference_mode():
        whole = network.loss(batch)
        torch.testing.assert_close(network.loss(pairs(margin=3, filling=7)), whole, atol=1e-6, rtol=0)
        alone = 0.0
        for row in range(3):
            s, t = int(batch.source_lengths[row]), int(batch.target_lengths[row])
            part = PairBatch(
                batch.source[row : row + 1, :s], torch.tensor([s]), batch.target[row : row + 1, :t], torch.tensor([t])
            )
            alone += float(network.loss(part)) * t / int(batch.target_lengths.sum())
        assert abs(alone - float(whole)) < 1e-6


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_steps_in_a_row_are_the_whole_target(kind: dict[str, Any]) -> None:
    network, batch, beams = make(**kind).eval(), pairs(), 2
    with torch.inference_mode():
        step, state = network.start(batch.source, batch.source_lengths, beams)
        total, tokens = 0.0, torch.full((3 * beams,), network.boundary)
        for t in range(4):
            log_probabilities, state = step(tokens, state)
            assert torch.equal(log_probabilities[::beams], log_probabilities[1::beams])
            assert (log_probabilities[:, 0] == -torch.inf).all()
            real = t < batch.target_lengths
            chosen = log_probabilities[::beams].gather(1, batch.target[:, t : t + 1]).squeeze(1)
            total -= float(chosen[real].sum())
            tokens = batch.target[:, t].repeat_interleave(beams)
    assert abs(total / int(batch.target_lengths.sum()) - float(network.loss(batch).detach())) < 1e-5


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_gradients_reach_every_parameter(kind: dict[str, Any]) -> None:
    network = make(**kind, dropout=0.0)
    network.loss(pairs()).backward()
    for name, parameter in network.named_parameters():
        if not name.startswith("encoder.") or "weight_hh" not in name:  # a reset gate before a first state has none
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_tied_and_joint_tables_are_stored_once() -> None:
    names = [name for name in make().state_dict() if "embedding" in name or "output" in name]
    assert names == ["output_bias", "target_embedding.weight"]
    apart = make(joint=False, tied=False).state_dict()
    assert apart["own_source_embedding.weight"].shape == (SIZE, 6)
    assert apart["own_output_weight"].shape == (SIZE + 1, 6)


def test_scheduled_sampling_reads_its_own_words_and_only_in_training() -> None:
    network = make(scheduled_sampling=0.999, dropout=0.0, embedding_dropout=0.0)
    teacher = make(dropout=0.0, embedding_dropout=0.0)
    torch.manual_seed(0)
    assert not torch.equal(network.loss(pairs()), teacher.loss(pairs()))
    assert torch.equal(network.eval().loss(pairs()), teacher.eval().loss(pairs()))


@pytest.mark.parametrize("model", MODELS_OF["translate"])
def test_every_model_has_a_recipe_without_useless_settings(model: str) -> None:
    assert isinstance(settle({"task": "translate", "model": model}), Settings)
    assert not config.uses(model, "pooling", "translate")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"input_feeding": True, "recurrent_dropout": 0.1}, "goes step by step: leave one out"),
        ({"input_feeding": True, "attention": "none"}, "it needs an --attention"),
        ({"pooling": "max"}, "--pooling has no effect on the task 'translate'"),
        ({"residual": True, "decoder_layers": 1}, "--residual has no effect with one layer"),
        ({"model": "cnn"}, "does not learn the task 'translate'"),
    ],
)
def test_what_has_no_effect_is_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        settle({"task": "translate", **given})
    with pytest.raises(SettingError, match="has no effect on the task 'classify'"):
        settle({"task": "classify", "model": "gru", "attention": "dot"})
