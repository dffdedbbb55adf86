"""The language model: two roads, one answer; the state that is carried; every setting has an effect."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from unspool import config
from unspool.config import CELLS, Settings
from unspool.errors import SettingError
from unspool.models.language_model import Batch, LanguageModel
from unspool.models.recipes import recipe
from unspool.text.streams import Tokens
from unspool.training import language
from unspool.training.language import LanguageData, Spans

SMALL: dict[str, Any] = {"embedding": 5, "hidden": 6, "batch_size": 3, "chunk": 4}
VOCABULARY = 11


def make(model: str = "lstm", streams: int = 0, starts: int = 0, **given: Any) -> LanguageModel:
    torch.manual_seed(1)
    settings = config.resolve(recipe(model, "generate"), {"task": "generate", "model": model, **SMALL, **given})
    return LanguageModel(settings, VOCABULARY, starts, streams=streams)


def ids(rows: int = 3, steps: int = 8) -> torch.Tensor:
    return torch.randint(0, VOCABULARY, (rows, steps), generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("model", CELLS)
def test_a_text_in_pieces_is_the_text_at_once(model: str) -> None:
    network = make(model, layers=2).eval()
    with torch.inference_mode():
        whole, last = network(ids(), network.no_state(3))
        stepped, first = network.step(ids()[:, 0], network.no_state(3))
        torch.testing.assert_close(stepped, whole[:, 0], atol=1e-6, rtol=0)
        stepped, _ = network.step(ids()[:, 1], first)
        torch.testing.assert_close(stepped, whole[:, 1], atol=1e-6, rtol=0)
        state, pieces = network.no_state(3), []
        for begin, end in ((0, 1), (1, 2), (2, 6), (6, 8)):
            hidden, state = network(ids()[:, begin:end], state)
            pieces.append(hidden)
    torch.testing.assert_close(torch.cat(pieces, 1), whole, atol=1e-6, rtol=0)
    for one, other in zip(state, last, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=0)


@pytest.mark.parametrize("model", CELLS)
def test_loss_carries_the_state_but_no_gradient(model: str) -> None:
    network = make(model, streams=3, dropout=0.0, embedding_dropout=0.0)
    block = ids(3, 9)
    chunks = [Batch(block[:, :4], block[:, 1:5], True), Batch(block[:, 4:8], block[:, 5:9], False)]
    network.loss(chunks[0])
    state = tuple(part.clone() for part in network.carried.buffers())
    network.zero_grad()
    second = network.loss(chunks[1])
    second.backward()
    hidden, _ = network(block[:, 4:8], state)
    by_hand = -network.log_probs(hidden.flatten(0, 1)).gather(1, block[:, 5:9].reshape(-1, 1)).mean()
    torch.testing.assert_close(second.detach(), by_hand.detach())
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in network.parameters())
    assert not torch.equal(second.detach(), network.loss(chunks[1]._replace(fresh=True)).detach())
    assert not any(name.startswith("carried") for name in network.weights())
    assert any(name.startswith("carried") for name in network.state_dict())


def test_adaptive_softmax_is_a_distribution_and_its_loss_the_mean_of_it() -> None:
    network = make(streams=3, adaptive=True, dropout=0.0, embedding_dropout=0.0)
    loss = network.loss(Batch(ids()[:, :4], ids()[:, 1:5]))
    hidden, _ = network(ids()[:, :4], network.no_state(3))
    log_probs = network.log_probs(hidden.flatten(0, 1))
    torch.testing.assert_close(log_probs.exp().sum(1), torch.ones(12))
    torch.testing.assert_close(loss, -log_probs.gather(1, ids()[:, 1:5].reshape(-1, 1)).mean())


@pytest.mark.parametrize(("level", "small"), [("char", False), ("word", True), ("bpe", True)])
def test_vectors_of_words_start_small_as_rare_ones_hardly_move(level: str, small: bool) -> None:
    spread = float(make(level=level, embedding=64).embedding.weight.detach().std())
    assert (spread < 0.1) == small and (spread > 0.8) != small


@pytest.mark.parametrize("hidden", [5, 6])
def test_tied_output_is_the_embedding(hidden: int) -> None:
    network = make(tied=True, hidden=hidden, starts=2)
    assert sum(value.numel() == 13 * 5 for value in network.state_dict().values()) == 1
    with torch.no_grad():
        h = torch.randn(2, hidden)
        projected = h if hidden == 5 else h @ network.output.projection.weight.T
        logits = projected @ network.embedding.weight[:11].T + network.output.bias
    torch.testing.assert_close(network.log_probs(h), logits.log_softmax(1))


@pytest.mark.parametrize("given", [{"tied": True}, {"tied": True, "hidden": 5}, {"adaptive": True}, {}])
def test_a_network_that_is_given_weights_answers_as_theirs(given: dict[str, Any]) -> None:
    network = make(**given)
    with torch.device("meta"):  # as a model folder is read
        other = make(**given)
    other.load_state_dict(network.weights(), assign=True)
    with torch.no_grad():
        hidden, _ = network(ids(), network.no_state(3))
        torch.testing.assert_close(other.log_probs(hidden.flatten(0, 1)), network.log_probs(hidden.flatten(0, 1)))


def test_type_dropout_hides_a_token_wherever_it_stands() -> None:
    network = make(type_dropout=0.5, embedding_dropout=0.0).train()
    torch.manual_seed(3)
    vectors, every = network._vectors(), torch.arange(VOCABULARY)
    dropped = (vectors(every) == 0).all(1)
    assert 0 < dropped.sum() < VOCABULARY
    torch.testing.assert_close(vectors(every)[~dropped], 2 * network.embedding.weight[:VOCABULARY][~dropped])
    assert torch.equal(network.eval()._vectors()(every), network.embedding.weight[:VOCABULARY])


def test_embedding_dropout_hides_the_same_features_of_all_tokens() -> None:
    network = make(type_dropout=0.0, embedding_dropout=0.5).train()
    torch.manual_seed(3)
    vectors, every = network._vectors(), torch.arange(VOCABULARY)
    dropped = (vectors(every) == 0).all(0)
    assert 0 < dropped.sum() < len(dropped)
    torch.testing.assert_close(vectors(every)[:, ~dropped], 2 * network.embedding.weight[:VOCABULARY, ~dropped])
    assert torch.equal(network.eval()._vectors()(every), network.embedding.weight[:VOCABULARY])


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_dropout_hides_the_same_units_at_all_steps_between_layers_and_of_the_output(dropout: float) -> None:
    network = make(layers=2, dropout=dropout, embedding_dropout=0.0).train()
    entered: list[torch.Tensor] = []

    def remembered(part: int, x: torch.Tensor, *more: Any) -> Any:
        entered.append(x)
        return run(part, x, *more)

    run, network.layer._run = network.layer._run, remembered
    torch.manual_seed(3)
    hidden, _ = network(ids(), network.no_state(3))
    for vectors in (entered[1], hidden):  # (B, T, H): what is hidden of a row is 0 at all steps, the rest at none
        zero = vectors == 0
        assert torch.equal(zero.all(1), zero.any(1)) and zero.any() == (dropout > 0)


OTHER: dict[str, Any] = {
    "embedding": 7, "hidden": 9, "layers": 2, "reset_after": False, "kernel_size": 4, "dropout": 0.6,
    "embedding_dropout": 0.5, "recurrent_dropout": 0.6, "zoneout": 0.3, "type_dropout": 0.5, "layer_norm": True,
    "residual": True, "tied": True, "adaptive": True,
}  # fmt: skip
ELSEWHERE = {
    "model", "level", "lowercase", "min_count", "max_vocabulary", "optimizer", "learning_rate", "weight_decay",
    "warmup", "clip", "average", "batch_size", "chunk", "epochs", "patience", "minutes", "validation", "seed",
}  # fmt: skip


def loss_of(model: str, **given: Any) -> float:
    network = make(model, streams=3, **given)
    torch.manual_seed(4)
    network.loss(Batch(ids()[:, :4], ids()[:, 1:5]))
    return float(network.loss(Batch(ids()[:, 3:7], ids()[:, 4:8], False)).detach())


@pytest.mark.parametrize("name", OTHER)
@pytest.mark.parametrize("model", CELLS)
def test_a_setting_of_the_network_has_an_effect_or_is_refused(model: str, name: str) -> None:
    if not config.uses(model, name, "generate"):
        with pytest.raises(SettingError, match=f"{config.flag(name)} has no effect"):
            make(model, **{name: OTHER[name]})
        return
    base = {"layers": 2} if name == "residual" else {}
    assert loss_of(model, **base) == loss_of(model, **base) != loss_of(model, **base, **{name: OTHER[name]})


def test_the_tables_name_every_setting() -> None:
    assert {*OTHER, *ELSEWHERE} == set(config.settings_of("generate"))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"tied": True, "adaptive": True}, "--tied and --adaptive do not go together"),
        ({"pooling": "max"}, "--pooling has no effect on the task 'generate'"),
        ({"model": "cnn"}, "the model 'cnn' does not learn the task 'generate'; use rnn"),
    ],
)
def test_what_has_no_meaning_is_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        make(**wrong)


def tokens(count: int) -> Tokens:
    generator = np.random.default_rng(5)
    return Tokens.collect([generator.integers(1, VOCABULARY, count).astype(np.int32)], np.uint8)


def test_streams_read_every_token_once_and_know_where_they_begin() -> None:
    settings = Settings(task="generate", batch_size=3, chunk=4, seed=1)
    row = Tokens.collect([np.arange(160, dtype=np.int32)], np.uint8)
    data = LanguageData(row, row, language.running_spans(160), settings)
    offsets = set()
    for epoch in range(6):
        order = data.order(epoch)
        batches = [data.batch(rows) for rows in order]
        assert [batch.fresh for batch in batches] == [True] + [False] * (len(order) - 1)
        read = torch.cat([batch.inputs for batch in batches], 1)
        assert torch.equal(torch.cat([batch.targets for batch in batches], 1), read + 1)
        assert (read[:, 1:] - read[:, :-1] == 1).all() and (read[1:] - read[:-1] == data.stream).all()
        offsets.add(int(read[0, 0]))
        assert [rows.tolist() for rows in data.order(epoch)] == [rows.tolist() for rows in order]
    assert len(offsets) > 1 and max(offsets) <= 4 and len(order) == data.chunks == 12


def test_a_long_pass_is_cut_into_laps(monkeypatch: Any) -> None:
    monkeypatch.setattr(language, "LAP", 5)
    data = LanguageData(tokens(160), tokens(9), language.running_spans(9), Settings(batch_size=3, chunk=4))
    assert data.laps == 3
    laps = [data.order(epoch) for epoch in range(3)]
    assert [len(lap) for lap in laps] == [4, 4, 4]
    joined = [rows.tolist() for lap in laps for rows in lap]
    assert [fresh for _, fresh in joined] == [1] + [0] * 11
    assert np.diff([start for start, _ in joined]).tolist() == [4] * 11


def nats_by_hand(network: LanguageModel, text: list[int], first: int) -> float:
    """The text read at once from nothing; the targets before `first` do not count."""
    with torch.inference_mode():
        hidden, _ = network(torch.tensor([text[:-1]]), network.no_state(1))
        log_probs = network.log_probs(hidden[0])
    targets = [0 if token >= VOCABULARY else token for token in text[1:]]
    return -sum(float(log_probs[k, target]) for k, target in enumerate(targets) if k + 1 >= first)


def test_scores_are_those_of_each_document_alone() -> None:
    network = make(starts=2).eval()
    text = [0, 3, 4, 5, 11, 6, 12, 0, 7, 7, 7, 7, 7, 7, 0]
    row = Tokens.collect([np.array(text, np.int32)], np.uint8)
    spans = language.document_spans(row, VOCABULARY)
    assert list(zip(spans.begin.tolist(), spans.stop.tolist(), strict=True)) == [(0, 5), (4, 7), (6, 8), (7, 15)]
    expected = sum(nats_by_hand(network, text[a:b], 1) for a, b in ((0, 5), (4, 7), (6, 8), (7, 15)))
    found = language.score(network, row, spans)
    assert found.nats == pytest.approx(expected, rel=1e-5) and found.tokens == 14


def test_running_text_is_scored_in_lanes_that_meet(monkeypatch: Any) -> None:
    for name, value in (("LANE", 10), ("LANES", 4), ("LEAD", 3), ("STEPS", 16), ("LOGITS", 1)):
        monkeypatch.setattr(language, name, value)
    network, row = make().eval(), tokens(64)
    spans = language.running_spans(64)
    assert len(spans.begin) == 4 and spans.scored[0] == 1 and spans.stop[-1] == 64
    assert (spans.scored[1:] == spans.stop[:-1]).all() and (spans.scored[1:] - spans.begin[1:] == 4).all()
    text = row.block(np.zeros(1, np.int64), 64)[0].tolist()
    expected = sum(
        nats_by_hand(network, text[a:c], b - a) for a, b, c in zip(*(part.tolist() for part in spans), strict=True)
    )
    found = language.score(network, row, spans)
    assert found.nats == pytest.approx(expected, rel=1e-5) and found.tokens == 63
    alone = language.score(network, row, Spans(*(part[:1] for part in spans)))
    assert alone.nats == pytest.approx(nats_by_hand(network, text[: spans.stop[0]], 1), rel=1e-5)
