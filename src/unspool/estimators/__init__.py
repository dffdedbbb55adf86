"""The library: a class for each task, with fit, save and load.

They store their arguments untouched and settle everything in `fit`; learned names end in `_`. `None` means what the
command means by a flag that is not given: the recipe decides.
"""

from unspool.estimators.classifier import SequenceClassifier
from unspool.estimators.language_model import LanguageModel
from unspool.estimators.tagger import SequenceTagger
from unspool.estimators.translator import Translator

__all__ = ["LanguageModel", "SequenceClassifier", "SequenceTagger", "Translator"]
