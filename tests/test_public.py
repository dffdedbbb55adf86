"""What the package promises as a whole: its public names, a light import, nothing that executes data."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

import unspool
from unspool import native
from unspool.cli import COMMANDS, run
from unspool.errors import SettingError

SOURCE = Path(unspool.__file__).parent
MODULES = sorted(SOURCE.rglob("*.py"))

# pickle and its relatives run what they read; these never do, and nothing else may come in unseen.
FORBIDDEN_IMPORTS = {"pickle", "marshal", "shelve", "joblib", "yaml", "dill", "cloudpickle", "importlib", "runpy"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_ATTRIBUTES = {"torch.load", "torch.save", "torch.jit.load", "np.load", "np.save", "os.system"}
EXTRACTING = {"extract", "extractall", "unpack_archive"}
HARMLESS = {"importlib.metadata"}  # reads version numbers


def offences(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.split(".")[0] in FORBIDDEN_IMPORTS - HARMLESS)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            if node.module.split(".")[0] in FORBIDDEN_IMPORTS and not names <= HARMLESS:
                yield node.module
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FORBIDDEN_CALLS:
            yield node.func.id
        elif isinstance(node, ast.Attribute):
            name = ast.unparse(node)
            if name in FORBIDDEN_ATTRIBUTES or node.attr in EXTRACTING:
                yield name


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_module_can_execute_what_it_reads(module: Path) -> None:
    assert list(offences(ast.parse(module.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "planted",
    [
        "import pickle",
        "from joblib import load",
        "import importlib",
        "from importlib import import_module",
        "eval(text)",
        "torch.load(path)",
        "torch.jit.load(path)",
        "archive.extractall(folder)",
        "shutil.unpack_archive(path)",
        "__import__(name)",
    ],
)
def test_the_check_sees_a_planted_offence(planted: str) -> None:
    assert list(offences(ast.parse(planted)))


def test_every_module_states_its_purpose() -> None:
    for module in MODULES:
        tree = ast.parse(module.read_text(encoding="utf-8"))
        assert ast.get_docstring(tree) or not tree.body or module.name == "_version.py", module


def test_only_files_opens_for_writing() -> None:
    writing = {"write_text", "write_bytes", "mkstemp", "NamedTemporaryFile"}
    for module in MODULES:
        found = {n.attr for n in ast.walk(ast.parse(module.read_text("utf-8"))) if isinstance(n, ast.Attribute)}
        assert module.name == "files.py" or not found & writing, module


PUBLIC = ["LanguageModel", "SequenceClassifier", "SequenceTagger", "Translator", "__version__", "nn"]
LAYERS = {
    "RNN", "GRU", "LSTM", "PeepholeLSTM", "PrototypeLSTM", "NormalisedPrototypeLSTM", "PseudoLSTM", "MinGRU", "QRNN",
    "RECURRENT", "TextConv", "StackedConv", "DilatedConv", "ConvPool", "Embedding", "VariationalDropout",
    "WordDropout", "max_norm_", "LastPool", "MaxPool", "MeanPool", "MeanVariancePool", "AttentionPool", "Pooling",
    "POOLINGS", "make_pooling", "Attention", "Linear", "LinearChainCRF",
}  # fmt: skip


def test_public_names_are_the_listed_ones() -> None:
    assert sorted(unspool.__all__) == dir(unspool) == PUBLIC
    assert unspool.nn.__name__ == "unspool.nn"
    assert sorted(unspool.nn.__all__) == sorted(LAYERS)
    for name in LAYERS:
        value = getattr(unspool.nn, name)
        assert isinstance(value, dict) or value.__doc__, name
    assert unspool.SequenceClassifier.__doc__
    assert unspool.SequenceTagger.__doc__
    assert unspool.Translator.__doc__
    with pytest.raises(AttributeError, match="no attribute 'Sequenceclassifier'"):
        unspool.Sequenceclassifier  # noqa: B018


def loaded_after(code: str) -> set[str]:
    """The modules that are loaded after `code` ran in a fresh interpreter."""
    script = f"{code}\nimport sys\nsys.stderr.write('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stderr.split("\n"))


def test_import_and_every_help_are_light() -> None:
    pages = [["--help"], *([name, "--help"] for name in COMMANDS)]
    code = f"import unspool\nfrom unspool.cli import run\nfor page in {pages!r}: assert run(page) == 0"
    loaded = loaded_after(code)
    assert "unspool.cli.predict" in loaded
    assert not loaded & {"torch", "sklearn", "scipy", "safetensors", "tokenizers"}


def test_answering_does_not_load_the_compiler_of_torch() -> None:
    script = "import sys, unspool.nn, unspool.predictors; sys.exit('torch._dynamo' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_an_unknown_instruction_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    if native.core() is None:
        pytest.skip("no compiled core")
    monkeypatch.setenv("UNSPOOL_ISA", "bogus")
    with pytest.raises(SettingError, match=r"UNSPOOL_ISA: expected .*, got 'bogus'"):
        native.core()


def test_backend_tells_why_it_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNSPOOL_ISA", "off")
    assert native.core() is None
    assert native.backend() == "off (UNSPOOL_ISA=off)"
    monkeypatch.delenv("UNSPOOL_ISA")
    monkeypatch.setattr(native, "_native", None)
    assert "install again with a C++ compiler" in native.backend()


def test_a_missing_core_is_told_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    older = SimpleNamespace(version=lambda: "0.0.0")
    for module, words in ((None, "install again with a C++ compiler present"), (older, "compiled for 0.0.0")):
        monkeypatch.setattr(native, "_native", module)
        monkeypatch.setattr(native, "_missed", False)
        caplog.clear()
        monkeypatch.setenv("UNSPOOL_ISA", "off")
        assert native.core() is None
        assert not caplog.records  # that was asked for
        monkeypatch.delenv("UNSPOOL_ISA")
        assert [native.core() for _ in range(3)] == [None] * 3
        (record,) = caplog.records
        assert words in record.getMessage()


def test_output_that_cannot_be_written_is_one_sentence() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    with full.open("wb") as stdout:
        command = [sys.executable, "-m", "unspool", "data", "list"]
        done = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "unspool: the system refused: No space left on device\n"


def test_a_reader_that_leaves_is_no_error() -> None:
    command = [sys.executable, "-m", "unspool", "data", "list"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait() == 141


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["trian", "x"], 'Unknown command "trian". Did you mean "train"?'),
        (["data", "gte"], 'Unknown command "gte". Did you mean "get"?'),
        (["train", "x", "--hiden", "3"], "Unknown option: --hiden. Did you mean --hidden?"),
        (["train", "x", "--pooling", "sum"], 'Choose from: "last", "max", "mean"'),
        (["predict"], "MODEL is missing: unspool predict MODEL (more with unspool predict --help)"),
    ],
)
def test_wrong_usage_is_one_line_with_a_suggestion(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert err.count("\n") == 1
