"""Gates, reach, n-grams and attention against plain loops and Jacobians; the page against hostile labels."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch

from unspool.inspection import alignment, gates, ngrams
from unspool.inspection.look import look, survey
from unspool.inspection.page import page
from unspool.inspection.reading import network_of, read
from unspool.predictors import ClassifierPredictor

Trained = Callable[..., ClassifierPredictor]
TEXT = "fine film number 3 , dull film"


@pytest.mark.parametrize(("model", "given"), [("gru", {}), ("lstm", {"bidirectional": False}), ("rnn", {"layers": 2})])
def test_reach_is_the_jacobian_of_the_last_output(trained: Trained, model: str, given: dict[str, object]) -> None:
    predictor = trained(model, **given)
    reading, part = read(predictor, TEXT), gates.recurrent_part(predictor)
    assert part is not None
    hidden = part.layer.hidden_size
    found = gates.reaches(predictor, reading)
    assert len(found) == (2 if part.layer.bidirectional else 1)
    for direction, reach in enumerate(found):

        def last(x: torch.Tensor, direction: int = direction) -> torch.Tensor:
            y, _ = part.layer(x)
            return y[0, 0 if direction else -1, direction * hidden : (direction + 1) * hidden]

        jacobian = torch.autograd.functional.jacobian(last, reading.vectors)[:, 0]  # (H, T, E)
        norms = jacobian.square().sum((0, 2)).sqrt().numpy()
        np.testing.assert_allclose(reach.norms, norms if direction else norms[::-1], rtol=1e-4)


def test_reach_counts_steps_from_the_end_of_reading() -> None:
    reach = gates.Reach("forwards", np.array([4.0, 3.0, 2.0, 0.5, 0.01, 0.001]))
    assert reach.within(0.5) == 2 and reach.within(0.1) == 1
    assert reach.fades(0.01) == 4
    assert gates.Reach("forwards", np.ones(3)).fades() is None


def test_selectivity_counts_steps_near_the_ends() -> None:
    gate = np.array([[0.05, 0.5], [0.95, 0.91], [0.5, 0.5], [0.099, 0.2]])
    np.testing.assert_allclose(gates.selectivity(gate), [0.75, 0.25])


def test_of_equally_selective_units_the_one_further_from_the_middle_comes_first() -> None:
    gate = np.array([[0.5, 0.6, 0.95, 0.2], [0.5, 0.6, 0.5, 0.8]])
    assert gates.most_selective(gate).tolist() == [2, 3, 1, 0]
    assert gates.most_selective(gate[:0]).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("model", ["lstm", "gru", "cnn-lstm", "prototype", "mingru"])
def test_traces_have_a_step_for_each_token_and_end_in_the_state(trained: Trained, model: str) -> None:
    predictor = trained(model)
    found = look(predictor, TEXT)
    part = gates.recurrent_part(predictor)
    assert part is not None
    assert [traced.name for traced in found.traces] == ["forwards", "backwards"]
    assert len(found.steps) == (7 if model != "cnn-lstm" else 2)
    entering = gates.entering(predictor, read(predictor, TEXT))
    _, state = part.layer(entering.vectors)
    first = state[0] if isinstance(state, tuple) else state
    name = part.layer.layout.states[0]
    np.testing.assert_allclose(found.traces[0].states[name][-1], first[0, 0].detach().numpy(), atol=1e-6)
    np.testing.assert_allclose(found.traces[1].states[name][0], first[1, 0].detach().numpy(), atol=1e-6)


def test_steps_after_a_convolution_are_named_by_the_tokens_they_cover(trained: Trained) -> None:
    predictor = trained(
        "cnn-lstm"
    )  # windows of 3, pools of 4: windows 0 to 3 cover tokens 0 to 5, window 4 tokens 4 to 6
    assert look(predictor, TEXT).steps == ["fine…dull", ",…film"]


def test_filters_fire_where_a_plain_loop_finds_their_greatest_answer(trained: Trained) -> None:
    predictor = trained("cnn")
    network, reading = network_of(predictor), read(predictor, TEXT)
    found = ngrams.firings(predictor, reading)
    vectors, margin, number = reading.vectors[0].numpy(), 2, 0
    padded = np.pad(vectors, ((margin, margin), (0, 0)))
    weights = network.output.weight.detach().double().numpy()
    encoded = network.encoder(reading.vectors, reading.lengths)[0].detach().numpy()
    for i, size in enumerate((1, 2, 3)):
        weight = network.encoder.convolution.get_parameter(f"weight_r{i}").detach().numpy()
        bias = network.encoder.convolution.get_parameter(f"bias_r{i}").detach().numpy()
        for f in range(7):
            answers = [(padded[s : s + size] * weight[f]).sum() + bias[f] for s in range(len(padded) - size + 1)]
            best = int(np.argmax(answers))
            tokens = [reading.tokens[k - margin] for k in range(best, best + size) if 0 <= k - margin < 7]
            assert found[number].value == pytest.approx(max(0.0, answers[best]), abs=1e-5)
            assert found[number].value == pytest.approx(encoded[number], abs=1e-5)
            if answers[best] > 1e-4:
                assert list(found[number].ngram) == tokens
            pushes = found[number].value * (weights[:, number] - weights[:, number].mean())
            np.testing.assert_allclose(found[number].pushes, pushes, atol=1e-6)
            number += 1
    assert number == len(found)


def test_summary_gathers_the_best_ngrams(trained: Trained) -> None:
    predictor = trained("cnn")
    texts = ["fine film", "dull film", "odd , odd", ""]
    readings = [read(predictor, text) for text in texts]
    summary = ngrams.summarise(predictor, readings, best=3)
    every = [firing for reading in readings for firing in ngrams.firings(predictor, reading)]
    for number, best in enumerate(summary.filters):
        answers = {f.ngram: f.value for f in sorted(every, key=lambda f: f.value) if f.filter == number and f.value > 0}
        answers.pop((), None)
        assert [value for _, value in best] == sorted(answers.values(), reverse=True)[:3]
    for label, best in enumerate(summary.labels):
        for ngram, total, times in best:
            own = [f.pushes[label] for f in every if f.ngram == ngram and f.value > 0]
            assert total == pytest.approx(sum(own)) and times == len(own)


def test_attention_weights_are_those_of_the_pooling(trained: Trained) -> None:
    predictor = trained("gru", pooling="attention")
    reading, part = read(predictor, TEXT), gates.recurrent_part(predictor)
    weights = alignment.alignment(predictor, reading)
    assert weights is not None and part is not None
    assert weights.sum() == pytest.approx(1, abs=1e-6)
    states, _ = part.layer(reading.vectors)
    pooled = network_of(predictor).encoder(reading.vectors, reading.lengths)[0].detach().numpy()
    np.testing.assert_allclose(weights @ states[0].detach().numpy(), pooled, atol=1e-5)
    assert alignment.alignment(trained("gru"), reading) is None


def test_survey_weighs_steps_alike(trained: Trained) -> None:
    predictor = trained("gru")
    seen = survey(predictor, ["fine film , dull", "odd", ""])
    parts = [gates.trace(predictor, read(predictor, text)) for text in ("fine film , dull", "odd")]
    every = np.concatenate([part[0].gates["z"] for part in parts])
    np.testing.assert_allclose(seen.selectivity["forwards", "z"], gates.selectivity(every))
    assert sum(seen.answered) == seen.texts == 3 and set(seen.selectivity) == {
        (way, gate) for way in ("forwards", "backwards") for gate in ("r", "z")
    }


def test_survey_of_the_linear_baseline_lists_its_weights(trained: Trained) -> None:
    predictor = trained("bow")
    leading = survey(predictor, ["fine film"]).leading
    assert leading[1][0][0].startswith("dull") or "dull" in leading[1][0][0]
    assert all(a[1] >= b[1] > 0 for best in leading for a, b in itertools.pairwise(best))


@pytest.mark.parametrize("model", ["gru", "cnn", "bow", "dilated-cnn", "cnn-lstm"])
def test_page_shows_hostile_labels_and_texts_as_text(trained: Trained, model: str) -> None:
    predictor = trained(model)
    looks = [look(predictor, text) for text in ("<img src=x onerror=alert(1)> film", "")]
    content = page(predictor, looks, survey(predictor, ["dull film"]), "<b>m</b>", "unspool inspect").decode()
    assert "<script" not in content and "<img src=x" not in content and "<b>m" not in content
    assert "&lt;script&gt;alert(1)" in content
    assert "default-src &#39;none&#39;" in content or "default-src 'none'" in content
    assert "http:" not in content and "https:" not in content
