"""How long the parts of training take on this machine at this moment, for `--minutes`."""

from __future__ import annotations

from dataclasses import dataclass, field

MEMORY = 20


@dataclass
class Mean:
    """A mean that forgets: over the first values plain, then exponential with the weight 1 / `MEMORY`."""

    value: float = 0.0
    count: int = 0

    def add(self, seconds: float) -> None:
        """Take in one measured duration."""
        self.count += 1
        self.value += (seconds - self.value) / min(self.count, MEMORY)


@dataclass
class Pace:
    """Running means, in seconds, of a step, a validation and the saving of a checkpoint.

    validation_steps: steps that a validation is taken to last until one was measured.
    """

    validation_steps: float
    step: Mean = field(default_factory=Mean)
    validation: Mean = field(default_factory=Mean)
    saving: Mean = field(default_factory=Mean)

    def ending(self) -> float:
        """What must be left when the steps end: one more, two validations (the last, and the report's), and two
        savings (checkpoint and model)."""
        validation = self.validation.value if self.validation.count else self.validation_steps * self.step.value
        return self.step.value + 2.0 * (validation + self.saving.value)
