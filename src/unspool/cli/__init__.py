"""The command `unspool`: one file a sub-command, loaded when it is called, so that `--help` stays quick."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from inspect import signature

from cyclopts import App, CycloptsError, MissingArgumentError, UnusedCliTokensError

from unspool._version import __version__
from unspool.cli.demo import make_demo_app
from unspool.errors import MESSAGE_LIMIT, Interrupted, UnspoolError, shorten, some
from unspool.signals import raise_on_signal

COMMANDS = {
    "train": "Train a model on texts and print its figure beside the baseline's.",
    "pretrain": "Train a language model on unlabelled texts, for a classifier to start from.",
    "resume": "Go on with a training run that was stopped or killed.",
    "evaluate": "Measure a model on labelled texts.",
    "predict": "Answer texts, one line each.",
    "compare": "Train several models on the same splits and tell what their differences are worth.",
    "tag": "Tag each token of texts, one line each.",
    "inspect": "Show what a model does with a text, or a classifier with a corpus.",
    "complexity": "Count what a network costs, and measure it beside the prediction.",
    "import-keras": "Make a model folder of a model trained with Keras.",
    "generate": "Write text with a language model, as it is made.",
    "translate": "Translate texts, one line each.",
    "doctor": "Print versions, the compute backend and the threads.",
}
DEMO = "Train rnn, gru, lstm and cnn on film-review sentences and compare them; or run the demo of that name."


def make_app(arguments: Sequence[str] = ()) -> App:
    """The whole command grammar; nothing of it imports torch.

    The help of the command that `arguments` call is its docstring; the others, which are not loaded, have one line.
    """
    app = App(
        name="unspool",
        help="Recurrent and convolutional sequence models on your own text, in minutes, on an ordinary CPU.",
        version=__version__,
        help_format="plaintext",
        suppress_keyboard_interrupt=False,
    )
    for name, text in COMMANDS.items():
        function = name.replace("-", "_")
        place = f"unspool.cli.{function}:{function}"
        app.command(place, name=name, help=None if arguments[:1] == [name] else text)
    app.command(make_demo_app(DEMO, arguments[1:]))
    data = App(name="data", help="Corpora known by name: list them, get one.", help_format="plaintext")
    data.command("unspool.cli.data:list_corpora", name="list", help="List the corpora.")
    data.command("unspool.cli.data:get", name="get", help="Fetch a corpus and print its path.")
    app.command(data)
    return app


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. Errors become one sentence on stderr, results stay on stdout."""
    raise_on_signal()
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        make_app(arguments)(arguments, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()  # here, where a full disk or a reader that has gone can still be told
    except MissingArgumentError as error:
        return _fail(_missing(error), 2)
    except UnusedCliTokensError as error:
        return _fail(_unused(error), 2)
    except CycloptsError as error:
        return _fail(str(error), 2)
    except Interrupted as error:
        _fail(str(error), 0)
        return 128 + error.signal_number
    except UnspoolError as error:
        return _fail(str(error), error.exit_code)
    except MemoryError:
        return _fail("memory ran out: use fewer or shorter texts, or a smaller model", 1)
    except BrokenPipeError:  # the reader of our output has gone
        _drop_output()
        return 128 + signal.SIGPIPE
    except OSError as error:
        _drop_output()
        what = error.strerror or shorten(error, 200)
        return _fail(f"the system refused: {what}{f' ({shorten(error.filename, 300)})' if error.filename else ''}", 1)
    return 0


def main() -> None:
    """Entry point of the installed command."""
    _let_waiting_threads_sleep()
    sys.exit(run())


def _let_waiting_threads_sleep() -> None:
    """Have threads of OpenMP wait awake for microseconds only, unless the user has chosen otherwise.

    By default it is milliseconds, in which they keep cores from others: two trainings at once then take ten times as
    long as one, and with this twice as long. Read once by GNU's runtime when torch loads it.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def _missing(error: MissingArgumentError) -> str:
    """What to give where a command lacks an argument; of a flag without its value cyclopts tells."""
    argument = error.argument
    flagged = error.keyword is not None or argument is None or any(token.keyword for token in argument.tokens)
    if argument is None or flagged or not argument.field_info.is_positional:
        return str(error)
    command, usage = _usage(error)
    return f"{argument.name.lstrip('-').upper()} is missing: {usage} (more with {command} --help)"


def _unused(error: UnusedCliTokensError) -> str:
    command, usage = _usage(error)
    unused = some(map(repr, error.unused_tokens or ()))
    return f"{unused}: nothing more is expected after {usage} but flags ({command} --help)"


def _usage(error: CycloptsError) -> tuple[str, str]:
    """The command that was called, and the same with its arguments, those that it can do without in brackets."""
    command = " ".join(("unspool", *(error.command_chain or ())))
    all_of_it = signature(error.target).parameters.values() if error.target else ()
    places = [one for one in all_of_it if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    names = [one.name.upper() if one.default is one.empty else f"[{one.name.upper()}]" for one in places]
    return command, " ".join((command, *names))


def _drop_output() -> None:
    """Point stdout at nothing, or Python would fail again on what is left in its buffer."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str, code: int) -> int:
    line = shorten(" ".join(message.split()), MESSAGE_LIMIT)
    sys.stderr.write(f"unspool: {line}\n")
    return code
