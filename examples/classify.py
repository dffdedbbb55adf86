"""Learn to tell praise from blame on a handful of sentences, then answer new ones: python examples/classify.py"""

from __future__ import annotations

import sys

from unspool import SequenceClassifier

PRAISE = ["a warm and funny film", "bright acting, a joy", "lovely from start to end", "a joy, warm and bright"]
BLAME = ["a dull and flat film", "grim acting, a bore", "tedious from start to end", "a bore, flat and grim"]


def main() -> None:
    """Train and answer."""
    # Each sentence with six endings: eight texts would be too few to learn from.
    endings = ("", " indeed", " again", " I think", " today", " they say")
    texts = [sentence + ending for sentence in PRAISE + BLAME for ending in endings]
    labels = ["praise"] * 24 + ["blame"] * 24

    classifier = SequenceClassifier(
        model="gru", level="word", hidden=16, embedding=16, epochs=40, learning_rate=0.01, seed=1
    )
    classifier.fit(texts, labels)

    new = ["a warm joy", "flat, grim, a bore"]
    for text, label, shares in zip(new, classifier.predict(new), classifier.predict_proba(new), strict=True):
        sys.stdout.write(f"{text!r} is {label} ({shares.max():.0%})\n")


if __name__ == "__main__":
    main()
