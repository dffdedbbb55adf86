"""unspool: recurrent and convolutional sequence models on your own text, on an ordinary CPU."""

from unspool._version import __version__

__all__ = ["__version__"]
