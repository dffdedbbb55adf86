from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspool.errors import ModelFileError, SettingError
from unspool.text.ragged import Ragged
from unspool.text.tokenizers import LEVELS, Tokenizer, load_tokenizer, train_tokenizer
from unspool.text.words import split_words

TEXTS = ["The cat sat on the mat.", "the dog didn't sit; the cat did!", "naïve café — 東京 👍", "<pad> [UNK] <unknown>"]
TOKENIZERS = {level: train_tokenizer(level, TEXTS * 3) for level in LEVELS}
EXACT = [TOKENIZERS[level] for level in ("char", "byte", "bpe")]


def reloaded(tokenizer: Tokenizer) -> Tokenizer:
    return load_tokenizer(tokenizer.settings, tokenizer.to_files())


@pytest.mark.parametrize("level", LEVELS)
def test_known_text_is_encoded_alike_after_saving(level: str) -> None:
    tokenizer = TOKENIZERS[level]
    again = reloaded(tokenizer)
    assert again.size == tokenizer.size and again.lossless == tokenizer.lossless == (level not in ("word", "token"))
    for text in TEXTS:
        ids = tokenizer.encode(text)
        assert ids.dtype == np.int32 and ids.min() >= 2 and ids.max() < tokenizer.size
        assert np.array_equal(again.encode(text), ids)
        assert again.decode(ids) == tokenizer.decode(ids)
    assert again.to_files() == tokenizer.to_files()


@pytest.mark.parametrize("tokenizer", EXACT, ids=lambda tokenizer: tokenizer.level)
def test_round_trip_of_training_texts_is_exact(tokenizer: Tokenizer) -> None:
    assert [tokenizer.decode(ids) for ids in tokenizer.encode_all(TEXTS)] == TEXTS


@given(st.text(max_size=40))
def test_bytes_and_bpe_return_any_text(text: str) -> None:
    for level in ("byte", "bpe"):
        assert TOKENIZERS[level].decode(TOKENIZERS[level].encode(text)) == text


@given(st.text(max_size=40))
def test_characters_return_known_ones_and_mark_the_others(text: str) -> None:
    tokenizer = TOKENIZERS["char"]
    known = set("".join(TEXTS))
    meant = "".join(character if character in known else "\ufffd" for character in text)
    assert tokenizer.decode(tokenizer.encode(text)) == meant


@given(st.lists(st.text(max_size=12), max_size=6))
def test_all_at_once_is_one_by_one(texts: list[str]) -> None:
    for tokenizer in TOKENIZERS.values():
        together = tokenizer.encode_all(texts)
        assert len(together) == len(texts)
        for row, text in enumerate(texts):
            assert np.array_equal(together[row], tokenizer.encode(text))


@given(st.text(st.characters(categories=["Cs", "Ll"]), max_size=9))
def test_lone_surrogates_do_no_harm(text: str) -> None:
    for level in LEVELS:
        tokenizer = train_tokenizer(level, [text, *TEXTS])
        reloaded(tokenizer).decode(tokenizer.encode(text))
    assert TOKENIZERS["byte"].decode(TOKENIZERS["byte"].encode(text)) == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("don't rock'n'roll", ["don't", "rock'n'roll"]),
        ("it’s 'quoted'", ["it’s", "'", "quoted", "'"]),
        ("a...b!!", ["a", ".", ".", ".", "b", "!", "!"]),
        ("cafe\u0301 naı\u0308ve", ["cafe\u0301", "naı\u0308ve"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("می\u200cخواهم", ["می\u200cخواهم"]),
        ("क्\u200dष", ["क्\u200dष"]),
        ("👍🏽 ❤\ufe0f", ["👍", "🏽", "❤\ufe0f"]),
        ("x_1 3.14\t\u2028\x85y", ["x_1", "3", ".", "14", "y"]),
        ("", []),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert split_words(text) == words
    tokenizer = train_tokenizer("word", [text], min_count=1, lowercase=False)
    assert [tokenizer.token(i) for i in tokenizer.encode(text)] == words


@given(st.text(max_size=30))
def test_pieces_give_the_words_of_the_whole_text(text: str) -> None:
    tokenizer = train_tokenizer("word", [text], min_count=1, lowercase=False)
    assert [tokenizer.token(i) for i in tokenizer.encode(text)] == split_words(text)
    assert "".join(split_words(text)) == "".join(text.split())


def test_lowercase_is_the_default_for_words_and_can_be_set() -> None:
    word = train_tokenizer("word", ["The the THE"], min_count=3)
    assert word.decode(word.encode("THE")) == "the"
    cased = train_tokenizer("word", ["The the THE"], min_count=1, lowercase=False)
    assert cased.size == 5
    for level in ("char", "byte", "bpe"):
        lowered = train_tokenizer(level, ["abc ABC"], lowercase=True)
        assert lowered.decode(lowered.encode("ABC")) == "abc" and not lowered.lossless


def test_vocabulary_is_ordered_by_count_then_alphabet_and_cut() -> None:
    texts = ["b b b a a c c d"]
    tokenizer = train_tokenizer("word", texts, min_count=1)
    assert [tokenizer.token(i) for i in range(tokenizer.size)] == ["<padding>", "<unknown>", "b", "a", "c", "d"]
    assert train_tokenizer("word", texts, min_count=2).size == 5
    assert train_tokenizer("word", texts, min_count=1, max_size=4).size == 4


def test_unknown_rate() -> None:
    tokenizer = train_tokenizer("word", ["a a b b"])
    assert tokenizer.unknown_rate(tokenizer.encode_all(["a b", "c d e a", ""])) == 0.5
    assert tokenizer.unknown_rate(Ragged.of([])) == 0.0
    assert tokenizer.decode(tokenizer.encode("a c")) == "a \ufffd"


def test_padding_is_left_out_and_wrong_ids_are_refused() -> None:
    for tokenizer in TOKENIZERS.values():
        ids = tokenizer.encode("the cat")
        assert tokenizer.decode([0, *ids.tolist(), 0]) == tokenizer.decode(ids)
        with pytest.raises(IndexError):
            tokenizer.decode([tokenizer.size])
        with pytest.raises(IndexError):
            tokenizer.token(-1)


def test_names_of_reserved_ids_are_ordinary_text() -> None:
    for tokenizer in TOKENIZERS.values():
        assert not np.isin(tokenizer.encode("<pad> [UNK] <unknown>"), [0, 1]).any()


def test_a_rare_password_is_in_no_file() -> None:
    texts = ["the user logged in again", "again the user logged out"] * 20 + ["my password is hunter2xkcd"]
    for level in ("word", "bpe"):
        content = b"".join(train_tokenizer(level, texts).to_files().values())
        assert b"hunter2" not in content and b"xkcd" not in content


def test_training_does_not_depend_on_the_hash_seed() -> None:
    code = (
        "import hashlib; from unspool.text.tokenizers import *\n"
        "texts = ['to be or not to be that is the question whether tis nobler', 'in the mind to suffer'] * 2\n"
        "print([hashlib.sha256(b''.join(train_tokenizer(level, texts).to_files().values())).hexdigest() "
        "for level in LEVELS])"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("given_settings", "words"),
    [
        ({"level": "wrd"}, r"level must be one of word, token, char, byte, bpe, got 'wrd' \(did you mean 'word'\?\)"),
        ({"level": "word", "min_count": 0}, "min_count must be at least 1, got 0"),
        ({"level": "bpe", "min_count": 0}, "min_count must be at least 1, got 0"),
        ({"level": "char", "max_size": 2}, "max_size must be above 2"),
        ({"level": "bpe", "max_size": 100}, "max_size must be at least 258 for bpe, got 100"),
        ({"level": "byte", "min_count": 2}, "min_count and max_size have no effect"),
    ],
)
def test_settings_out_of_range_are_refused(given_settings: dict[str, Any], words: str) -> None:
    level = given_settings.pop("level")
    with pytest.raises(SettingError, match=words):
        train_tokenizer(level, TEXTS, **given_settings)


WORD = {"level": "word", "lowercase": True, "size": 4}


def vocabulary(tokens: Any = ("a", "b"), version: Any = 1, **more: Any) -> bytes:
    return json.dumps({"format": version, "tokens": tokens, **more}).encode()


@pytest.mark.parametrize(
    ("settings", "content", "words"),
    [
        (WORD, None, "the model has no vocabulary.json"),
        (WORD, b"{", "is not valid JSON"),
        (WORD, b"[]", "must hold exactly the entries"),
        (WORD, vocabulary(extra=1), "must hold exactly the entries"),
        (WORD, vocabulary(version=2), "newer version"),
        (WORD, vocabulary(version=True), "has format"),
        (WORD, vocabulary(tokens={"a": 1}), "must be a list"),
        (WORD, vocabulary(tokens=["a", 1]), "1 is not a token"),
        (WORD, vocabulary(tokens=["a", ""]), "'' is not a token"),
        (WORD, vocabulary(tokens=["a", "x" * 2**20]), "is not a token"),
        (WORD, vocabulary(tokens=["a", "\ud800"]), "is not a token"),
        (WORD, vocabulary(tokens=["a", "a"]), "stands twice"),
        (WORD, vocabulary(tokens=["a"]), "holds 3 ids where the settings say 4"),
        (WORD | {"size": 10**30}, vocabulary(), "holds 4 ids"),
        (WORD | {"size": True}, vocabulary(), "size a whole number"),
        (WORD | {"lowercase": 1}, vocabulary(), "true or false"),
        (WORD | {"level": "os.system"}, vocabulary(), "level must be one of"),
        (WORD | {"level": ["word"]}, vocabulary(), "level must be one of"),
        (WORD | {"_target_": "os.system"}, vocabulary(), "exactly level, lowercase and size"),
        ({"level": "word"}, vocabulary(), "exactly level, lowercase and size"),
        (WORD | {"level": "char"}, vocabulary(tokens=["a", "bc"]), "single characters only"),
        (WORD | {"level": "byte"}, None, "a byte tokenizer has 258 ids"),
    ],
)
def test_a_hostile_vocabulary_is_refused(settings: dict[str, Any], content: bytes | None, words: str) -> None:
    files = {} if content is None else {"vocabulary.json": content}
    with pytest.raises(ModelFileError, match=words) as caught:
        load_tokenizer(settings, files)
    assert len(str(caught.value)) < 1000


def changed(path: tuple[str, ...], value: Any) -> bytes:
    content = json.loads(TOKENIZERS["bpe"].to_files()["tokenizer.json"])
    place = content
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return json.dumps(content).encode()


MODEL = json.loads(TOKENIZERS["bpe"].to_files()["tokenizer.json"])["model"]
TOKENS, MERGES = MODEL["vocab"], MODEL["merges"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"null", "not a byte-level BPE tokenizer"),
        (changed(("pre_tokenizer",), {"type": "Split", "pattern": {"Regex": "(a+)+$"}}), "not a byte-level BPE"),
        (changed(("normalizer",), {"type": "Lowercase"}), "not a byte-level BPE"),
        (changed(("added_tokens",), [{"id": 0, "content": "<pad>"}]), "not a byte-level BPE"),
        (changed(("model", "type"), "WordPiece"), "not a byte-level BPE"),
        (changed(("model", "dropout"), 0.5), "not a byte-level BPE"),
        (changed(("model", "extra"), 1), "not a byte-level BPE"),
        (changed(("extra",), 1), "not a byte-level BPE"),
        (changed(("model", "vocab"), []), "vocab must map"),
        (changed(("model", "vocab"), {"a": 0}), "holds 3 ids"),
        (changed(("model", "vocab"), dict.fromkeys(TOKENS, 0)), "each once"),
        (changed(("model", "vocab"), {token: float(i) for token, i in TOKENS.items()}), "each once"),
        (changed(("model", "vocab"), {("東" if i == 5 else t): i for t, i in TOKENS.items()}), "256 bytes"),
        (changed(("model", "merges"), "t h"), "merges must be pairs"),
        (changed(("model", "merges"), [["t", "h", "e"]]), "merges must be pairs"),
        (changed(("model", "merges"), [["t", 1]]), "merges must be pairs"),
        (changed(("model", "merges"), [["q", "q"]]), "merges must be pairs"),
        (changed(("model", "merges"), MERGES[:1] * 2), "a merge stands twice"),
    ],
)
def test_a_hostile_bpe_file_is_refused(content: bytes, words: str) -> None:
    with pytest.raises(ModelFileError, match=words):
        load_tokenizer(TOKENIZERS["bpe"].settings, {"tokenizer.json": content})


def test_bpe_agrees_with_the_library_reading_the_same_file() -> None:
    import tokenizers

    tokenizer = TOKENIZERS["bpe"]
    library = tokenizers.Tokenizer.from_str(tokenizer.to_files()["tokenizer.json"].decode())
    for text in TEXTS:
        assert (np.array(library.encode(text).ids) + 2).tolist() == tokenizer.encode(text).tolist()
