from __future__ import annotations

import numpy as np
import pytest

from unspool.errors import ModelFileError
from unspool.text.forms import MOST_CHARACTERS, FormEncoder
from unspool.text.ragged import Ragged

SENTENCES = [["The", "cat", "sat"], ["the", "Cat", "ran", "away"]]


def make(**changed: object) -> FormEncoder:
    options: dict[str, object] = {"characters": True, "min_count": 2, "max_size": None, "lowercase": True, **changed}
    return FormEncoder.train(SENTENCES, **options)  # type: ignore[arg-type]


def test_each_form_once_with_its_word_and_its_characters() -> None:
    encoder = make()
    assert encoder.words.tokens == ("cat", "the")
    rows, forms = encoder.encode([["cat", "dog", "Cat"], [], ["cat"]])
    assert [row.tolist() for row in rows] == [[1, 2, 3], [], [1]]
    assert forms.words.tolist() == [0, 2, 1, 2]
    assert encoder.characters is not None
    assert [encoder.characters.decode(row) for row in forms.characters] == [
        "",
        "\ufffdat",
        "\ufffd\ufffd\ufffd",
        "\ufffdat",
    ]
    assert encoder.unknown_rate(rows, forms) == 0.25


def test_a_character_or_word_seen_once_is_in_no_file() -> None:
    content = b"".join(make().to_files().values()).decode()
    assert '"cat"' in content and '"ran"' not in content and '"w"' not in content


def test_words_of_vectors_join_up_to_the_limit() -> None:
    encoder = FormEncoder.train(SENTENCES, characters=False, min_count=2, max_size=5, lowercase=True)
    encoder = encoder.extended(["the", "dog", "fish"], max_size=5)
    assert encoder.words.tokens == ("cat", "the", "dog")
    assert encoder.characters is None
    assert encoder.encode([["dog"]])[1].characters.lengths.tolist() == [0, 0]


def test_a_long_word_is_read_at_both_ends() -> None:
    encoder = make()
    forms = encoder.encode([["a" * 500 + "t" * 500]])[1]
    assert encoder.characters is not None
    assert encoder.characters.decode(forms.characters[1]) == "a" * (MOST_CHARACTERS // 2) + "t" * (MOST_CHARACTERS // 2)


def test_files_make_the_same_encoder_and_lies_are_refused() -> None:
    encoder = make()
    assert encoder.characters is not None
    sizes = {"words": encoder.words.size, "characters": encoder.characters.size}
    again = FormEncoder.from_files(encoder.to_files(), lowercase=True, **sizes)
    for before, after in zip(encoder.encode(SENTENCES), again.encode(SENTENCES), strict=True):
        assert isinstance(before, Ragged) == isinstance(after, Ragged)
    np.testing.assert_array_equal(encoder.encode(SENTENCES)[1].words, again.encode(SENTENCES)[1].words)
    with pytest.raises(ModelFileError, match="holds 4 ids where the settings say 5"):
        FormEncoder.from_files(encoder.to_files(), words=5, characters=None, lowercase=True)
    with pytest.raises(ModelFileError, match=r"the model has no characters\.json"):
        FormEncoder.from_files(make(characters=False).to_files(), words=4, characters=4, lowercase=True)
    swapped = {**encoder.to_files(), "characters.json": encoder.to_files()["vocabulary.json"]}
    with pytest.raises(ModelFileError, match="holds single characters only"):
        FormEncoder.from_files(swapped, words=4, characters=4, lowercase=True)


def test_pieces_cut_rows_without_moving_ids() -> None:
    ragged = Ragged.of([[1, 2, 3, 4, 5], [], [6], [7, 8]])
    cut = ragged.pieces(2)
    assert [row.tolist() for row in cut] == [[1, 2], [3, 4], [5], [], [6], [7, 8]]
    assert cut.ids is ragged.ids
    assert ragged.pieces(5) is ragged
