"""The demos that have a name: what they read, what they count, what they print."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from unspool.cli.demos import apply_everything, echo, many_to_one, selectivity
from unspool.text.ragged import Ragged

Command = Callable[..., tuple[int, list[str], str]]


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """60 texts whose first word tells the label."""
    rows = [f"{'fine' if n % 2 else 'dull'} film number {n},{'pos' if n % 2 else 'neg'}\n" for n in range(60)]
    (tmp_path / "films.csv").write_text("text,label\n" + "".join(rows))
    return tmp_path / "films.csv"


def test_the_notebook_reads_known_words_only_and_the_last_of_them() -> None:
    texts = ["Known, known words!", "rare", "", "known " * 700 + "words"]
    encoded = many_to_one._encode(texts, np.array([0, 3]))
    known, words = 2, 3  # by frequency in the training part; "rare" is not in it
    assert encoded[0].tolist() == [known, known, words]
    assert encoded[1].tolist() == encoded[2].tolist() == []
    assert encoded[3].tolist() == [known] * 499 + [words]


def test_every_row_is_in_one_batch_in_an_order_of_its_epoch() -> None:
    first, second = (np.concatenate(many_to_one._batches(130, 0, epoch)) for epoch in (0, 1))
    assert sorted(first) == sorted(second) == list(range(130))
    assert (first != second).any()
    assert [len(rows) for rows in many_to_one._batches(130, 0, 0)] == [64, 64, 2]


def test_the_notebooks_clipping_is_of_each_tensor() -> None:
    """One step of plain gradient descent moves every tensor by at most the rate."""
    torch.manual_seed(0)
    network = many_to_one._network("gru", 1.0)
    with torch.no_grad():
        network.output.weight.mul_(1e3)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    texts = Ragged.of([[2, 3, 4], [5, 6]])
    many_to_one._step(network, torch.optim.SGD(network.parameters(), lr=1.0), texts, np.array([0, 1]), np.array([0, 1]))
    moved = [float((new.detach() - old).norm()) for new, old in zip(network.parameters(), before, strict=True)]
    assert max(moved) <= 1 + 1e-5
    assert sum(length > 0.99 for length in moved) > 1  # several were clipped, each by itself


def test_many_to_one_prints_the_lectures_figures_beside_ours(films: Path, command: Command) -> None:
    code, out, _ = command("demo", "many-to-one", "--data", films, "--minutes", "0.05")
    assert code == 0
    assert [line.split(",")[0] for line in out[2:9]] == ["rnn", "rnn", "gru", "lstm", "gru", "lstm", "cnn"]
    assert re.search(r"rnn, smaller start +0\.5800 +1,470 s +[01]\.\d{4} +\d+ s", out[3])
    assert re.search(r"lstm, notebook +0\.8276 +3,630 s +[01]\.\d{4} +\d+ s", out[5])
    assert re.search(r"cnn, our recipe +– +[01]\.\d{4} +\d+ s", out[8])


def test_the_smaller_start_keeps_the_size_of_a_state_under_recurrent_dropout() -> None:
    """Random states times random masks: Keras's start makes them 1/√(1 - p) as large, the smaller one leaves them."""
    torch.manual_seed(0)
    shape, share = (4000, many_to_one.HIDDEN), many_to_one.DROPOUT
    masked = torch.randn(shape) * (torch.rand(shape) > share) / (1 - share)
    for gain, wanted in ((1.0, (1 - share) ** -0.5), (many_to_one.STARTS[1][2], 1.0)):
        weight = many_to_one._network("rnn", gain).layer.weight_hh_l0.detach()
        assert float((masked @ weight.T).square().mean().sqrt()) == pytest.approx(wanted, abs=0.01)


def test_many_to_one_needs_two_labels(tmp_path: Path, command: Command) -> None:
    path = tmp_path / "three.csv"
    path.write_text("text,label\n" + "a,x\nb,y\nc,z\n" * 5)
    code, out, error = command("demo", "many-to-one", "--data", path)
    assert (code, out) == (2, [])
    assert "three.csv has 3 labels: this demo needs texts with 2" in error


def test_cnn_prints_four_networks(films: Path, command: Command) -> None:
    code, out, _ = command("demo", "cnn", "--data", films, "--minutes", "0.05")
    assert code == 0
    assert [line[:22].strip() for line in out[2:6]] == [
        "lstm",
        "three times conv + poo",
        "region CNN",
        "CNN, mean + variance",
    ]


def test_the_memory_task_asks_for_its_first_token() -> None:
    ids, answers = next(selectivity.texts(30, 0))
    assert (ids[:, 0] == answers + 1).all()
    assert (ids[:, 1:] > selectivity.ANSWERS).all()
    assert ids.shape == (selectivity.BATCH, 30)
    lengths = [ids.shape[1] for (ids, _), _ in zip(selectivity.texts(4, 0, shortest=2), range(50), strict=False)]
    assert set(lengths) == {2, 3, 4}


def test_a_prototype_that_adds_up_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """With every gate open the state grows by one a step: by hand, steps · tanh(3) after `steps` of them."""
    torch.manual_seed(0)
    network = selectivity._network("prototype")
    layer = network.layer
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
        hidden = selectivity.HIDDEN
        layer.bias_ih_l0.copy_(torch.tensor([50.0, 50.0, 3.0, 50.0]).repeat_interleave(hidden))
    _, state, output, selective = selectivity._figures(network, 20, 0)
    assert state == output == pytest.approx(20 * np.tanh(3.0), rel=1e-5)
    assert selective == 1.0


def test_selectivity_prints_six_cells(command: Command) -> None:
    code, out, _ = command("demo", "selectivity", "--length", 4, "--steps", 3)
    assert code == 0
    assert [line.split()[0] for line in out[1:7]] == list(selectivity.CELLS)
    outputs = {line.split()[0]: float(line.split()[6]) for line in out[1:7]}
    assert max(outputs[cell] for cell in ("pseudo", "gru", "lstm", "peephole")) <= 1


def test_swapping_exchanges_neighbours_inside_the_text_and_no_token_twice() -> None:
    torch.manual_seed(0)
    ids = torch.arange(1, 41).repeat(50, 1)
    lengths = torch.randint(0, 41, (50,))
    ids[torch.arange(40) >= lengths[:, None]] = 0
    swapped = apply_everything.swap(ids, lengths, 0.3)
    assert (swapped.sort(1).values == ids.sort(1).values).all()
    assert ((swapped - ids).abs() <= 1).all()
    inside = torch.arange(40) < lengths[:, None]
    assert (swapped[~inside] == 0).all()
    assert 0.2 < float((swapped != ids)[inside].float().mean()) < 0.35


def test_apply_everything_changes_one_thing_at_a_time(films: Path, command: Command) -> None:
    code, out, error = command("demo", "apply-everything", "--data", films, "--epochs", 1, "--transfer", films)
    assert code == 0
    assert [line[:24].strip() for line in out[1:-2]] == [*apply_everything.CHANGES, "transfer"]
    assert out[1].split()[2] == "+0.0000"
    assert out[-1].startswith("more than chance among these texts (paired test, corrected for 16): ")
    assert "what other data gives: --vectors FILE" in error


def test_apply_everything_names_what_chance_would_hardly_do(
    capsys: pytest.CaptureFixture[str],
) -> None:
    plain = np.arange(200) % 4 > 0
    better, other = plain.copy(), plain.copy()
    better[:80] = True  # 20 texts more, none fewer
    other[[0, 1]] = other[[1, 0]]
    apply_everything._tell_chance({"plain": plain, "better": better, "other": other})
    interval, beyond = capsys.readouterr().out.splitlines()
    assert interval == "±0.0600 is the 95 % interval of each accuracy (200 texts)"
    assert beyond.endswith("corrected for 2): better")


def test_the_echo_toys_entropies_are_those_of_its_definition() -> None:
    """By counting all pasts of eight tosses, each as likely as the others."""
    pasts = np.array(np.meshgrid(*[[0, 1]] * 8)).reshape(8, -1)  # row k: X(t - k - 1)
    chance = 0.5 + 0.5 * pasts[2] - 0.25 * pasts[7]

    def entropy(p: np.ndarray) -> float:
        inside = p[(p > 0) & (p < 1)]
        return float(-(inside * np.log(inside) + (1 - inside) * np.log(1 - inside)).sum() / p.size)

    near = np.array([chance[pasts[2] == bit].mean() for bit in (0, 1)])
    wanted = [entropy(np.array([chance.mean()])), entropy(near), entropy(chance)]
    assert list(echo.entropies().values()) == pytest.approx(wanted)
    assert [round(value, 4) for value in wanted] == [0.6616, 0.5192, 0.4545]


def test_echo_chunks_go_on_from_one_another() -> None:
    """Eight steps later the next chunk still answers to the tosses of the one before."""
    found = list(echo.chunks(6, 5, seed=0))
    x, chance = (torch.cat(parts, 1) for parts in zip(*found, strict=True))
    assert set(x.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(chance[:, 8:], 0.5 + 0.5 * x[:, 5:-3] - 0.25 * x[:, :-8])


def test_echo_learns_what_lies_inside_a_chunk(command: Command) -> None:
    """With few steps already: what is three steps back is learned by all, what is eight steps back sooner where an
    error is carried that far, and nobody beats the exact figure."""
    code, out, _ = command("demo", "echo", "--steps", 300)
    assert code == 0
    names, figures = zip(*((line[:34].strip(), float(line[34:])) for line in out), strict=True)
    assert names == (
        "exact, knowing nothing", "exact, knowing X(t-3)", "exact, knowing X(t-3) and X(t-8)",
        "trained, cut after 5 steps", "trained, cut after 10 steps", "trained, cut after 20 steps",
    )  # fmt: skip
    assert figures[:3] == (0.6616, 0.5192, 0.4545)
    assert all(0.4544 < value < 0.56 for value in figures[3:])
    assert max(figures[4:]) < figures[3] - 0.005  # measured: .4673 and .4631 beside .4810


def test_echo_needs_a_step(command: Command) -> None:
    code, _, error = command("demo", "echo", "--steps", 0)
    assert code == 2
    assert "--steps is 0: expected 1 to 1,000,000" in error


def test_generate_goes_on_from_the_phrase_and_from_a_whole_word(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unspool import corpora, predictors

    def offline(name: str, **_: object) -> Path:
        if name == "shakespeare":
            raise corpora.CorpusError("there is no network")
        path = tmp_path / f"{name}.txt"
        path.write_text("It was the best of times, it was the worst of times. " * 200)
        return path

    monkeypatch.setattr(corpora, "fetch", offline)
    code, out, error = command("demo", "generate", "--minutes", "0.05", "--length", 20, "--out", tmp_path / "run")
    assert code == 0 and f"no Shakespeare: using {corpora.OFFLINE_GENERATE}, which ships with Python" in error
    assert re.fullmatch(r"\d\.\d{4} nats a character; 6-gram, interpolated: 0\.\d{4}", out[0])
    assert (out[2], out[5]) == ("== It was the best of times …", "== a random word …")
    word = predictors.load(tmp_path / "run").random_word(0)  # type: ignore[attr-defined]
    assert word.isalpha() and len(word) > 1
    for written, begun in ((out[3], "It was the best of times"), (out[6], word)):
        assert written.startswith(begun) and len(written) == len(begun) + 20
    assert len(out) == 7
    code, _, error = command("demo", "generate", "--out", tmp_path / "run")
    assert code == 2 and "exists: choose another --out, or remove it" in error


def test_translate_shows_right_words_and_alignments(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unspool import corpora
    from unspool.cli.demos import translate

    def offline(name: str, **_: object) -> Path:
        if name == "pronunciations":
            raise corpora.CorpusError("there is no network")
        path = tmp_path / "hangul.tsv"
        path.write_text("source\ttarget\n" + "".join(f"{a}{b}\t{b}{a}\n" for a in "abcdef" for b in "uvwxyz"))
        return path

    monkeypatch.setattr(corpora, "fetch", offline)
    monkeypatch.setattr(translate, "WORDS", {"hangul": ("fu", "xa")})
    code, out, error = command("demo", "translate", "--minutes", "0.1", "--out", tmp_path / "run")
    assert code == 0 and "no dictionary: using hangul, which ships with Python" in error
    assert re.fullmatch(r"\d+\.\d% of \d words that it has not seen are right from the first to the last", out[0])
    rows = [line for line in out if line.startswith(("  fu ", "  xa "))]
    assert len(rows) == 2
    for row in rows:  # the translation, then a look for each of its letters
        answer, looks = row[21:61].strip(), row[61:].split()
        assert [look[-1] for look in looks] == list(answer) and all(look[0] in row[2:4] for look in looks)
    assert (tmp_path / "run" / "model" / "manifest.json").exists()
