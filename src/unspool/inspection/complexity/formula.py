"""Polynomials with whole coefficients in named sizes: one formula, both printed and evaluated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

_POWERS = str.maketrans("23456789", "²³⁴⁵⁶⁷⁸⁹")


class Formula:
    """A sum of products of sizes, each size a letter: `4 * T * H * (I + H)` with `T = Formula.of("T")`.

    Example:
        >>> T, H = Formula.of("T"), Formula.of("H")
        >>> str(4 * T * H * (H + 1)), (4 * T * H * (H + 1))(T=10, H=2)
        ('4·H²·T + 4·H·T', 240)
    """

    def __init__(self, terms: Mapping[str, int]) -> None:
        self._terms = {letters: factor for letters, factor in terms.items() if factor}

    @classmethod
    def of(cls, letter: str) -> Formula:
        """The size of that name."""
        return cls({letter: 1})

    def __call__(self, **sizes: int) -> int:
        """The value at these sizes. Raises KeyError for a size that is missing."""
        total = 0
        for letters, factor in self._terms.items():
            for letter in letters:
                factor *= sizes[letter]
            total += factor
        return total

    def __add__(self, other: Formula | int) -> Formula:
        total = Counter(self._terms)
        total.update(_terms(other))
        return Formula(total)

    def __mul__(self, other: Formula | int) -> Formula:
        product: Counter[str] = Counter()
        for mine, factor in self._terms.items():
            for letters, other_factor in _terms(other).items():
                product["".join(sorted(mine + letters))] += factor * other_factor
        return Formula(product)

    __radd__, __rmul__ = __add__, __mul__

    def __str__(self) -> str:
        shown = [_term(letters, factor) for letters, factor in sorted(self._terms.items(), key=_degree)]
        return " + ".join(shown).replace("+ -", "− ") or "0"


def _terms(value: Formula | int) -> Mapping[str, int]:
    return value._terms if isinstance(value, Formula) else {"": value}


def _degree(term: tuple[str, int]) -> tuple[int, str]:
    """Highest degree first."""
    return -len(term[0]), term[0]


def _term(letters: str, factor: int) -> str:
    parts = [
        letter + (str(count).translate(_POWERS) if count > 1 else "") for letter, count in Counter(letters).items()
    ]
    if not parts:
        return str(factor)
    sign = {1: "", -1: "-"}.get(factor)
    return sign + "·".join(parts) if sign is not None else "·".join([str(factor), *parts])
