from __future__ import annotations

import pytest

from unspool.text.levels import detect_level

SENTENCES = ["the film was good and long", "the film was bad but short", "a good cast in a bad film"]
NAMES = ["Novák", "O'Neill", "Ivanov", "Schmidt", "Rossi", "Satō", "van Dyke", "García", "Nguyễn", "Popov"]


@pytest.mark.parametrize(
    ("texts", "level", "reason"),
    [
        (SENTENCES, "word", "words a text"),
        (SENTENCES * 3000, "word", "words a text"),
        (["안녕하세요 저는 학생 입니다", "저는 오늘 학교에 갑니다"], "word", "words a text"),
        (["good", "bad", "good", "fine", "bad", "good"] * 5, "word", "words a text"),
        (NAMES, "char", "names or codes"),
        (["acgtacgatcgatcgatcagctagctagctagctacgatcgac"] * 9, "char", "characters long"),
        (["今天天气很好", "我们去公园散步"], "char", "script without blanks"),
        (["สวัสดีครับผมชื่อ", "ขอบคุณมาก"], "char", "script without blanks"),
        (["東京は大きい です"] * 3, "char", "script without blanks"),
        (["", "  "], "char", "blank"),
        ([], "char", "blank"),
    ],
)
def test_level_and_reason(texts: list[str], level: str, reason: str) -> None:
    found, why = detect_level(texts)
    assert found == level and reason in why
