"""Wrong arguments handed to the C++ entries themselves: each is refused by name, before anything is read or written."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from unspool import native
from unspool.ops import recurrent

pytestmark = pytest.mark.skipif(native.core() is None, reason="the compiled core is absent or off")

B, T, INPUTS, H = 3, 4, 5, 6


def zeros(*shape, dtype=torch.float32):
    return torch.zeros(shape, dtype=dtype)


def forward_arguments(cell="lstm"):
    memory = zeros(B, H) if cell in ("lstm", "peephole") else None
    extra = {"peephole": zeros(3 * H), "normalised": zeros(2 * H)}.get(cell)
    return {
        "cell": cell,
        "x": zeros(B, T, INPUTS),
        "lengths": torch.tensor([4, 0, 2]),
        "tokens": None,
        "w_ih": zeros(4 * H, INPUTS),
        "w_hh": zeros(4 * H, H),
        "b_ih": zeros(4 * H),
        "b_hh": zeros(4 * H),
        "extra": extra,
        "h": zeros(B, H),
        "c": memory,
        "mask": zeros(B, H),
        "keep": zeros(1 if memory is None else 2, B, T, H, dtype=torch.bool),
        "norm": None,
        "norm_memory": None,
        "keep_share": 0.0,
        "reverse": False,
        "threads": 1,
        "y": zeros(B, T, H),
        "saved": zeros(native.core().saved_floats(cell, B, 6, H)),
        "final_h": zeros(B, H),
        "final_c": zeros(B, H) if memory is not None else None,
    }


def backward_arguments(cell="lstm"):
    given = forward_arguments(cell)
    memory = given.pop("final_c")
    del given["final_h"]
    return given | {
        "d_y": zeros(B, T, H),
        "d_final_h": zeros(B, H),
        "d_final_c": memory,
        "d_x": zeros(B, T, INPUTS),
        "d_w_ih": zeros(4 * H, INPUTS),
        "d_w_hh": zeros(4 * H, H),
        "d_b_ih": zeros(4 * H),
        "d_b_hh": zeros(4 * H),
        "d_extra": None if given["extra"] is None else torch.zeros_like(given["extra"]),
        "d_h": zeros(B, H),
        "d_c": None if memory is None else zeros(B, H),
        "d_norm": None,
        "d_norm_memory": None,
    }


TENSORS = ("x", "w_ih", "w_hh", "b_ih", "b_hh", "h", "c", "mask", "y", "saved", "final_h", "final_c")
GRADIENTS = ("d_y", "d_final_h", "d_final_c", "d_x", "d_w_ih", "d_w_hh", "d_b_ih", "d_b_hh", "d_h", "d_c")
VALUES = [
    ("lengths", torch.tensor([4, 5, 2]), ValueError),
    ("lengths", torch.tensor([4, -1, 2]), ValueError),
    ("lengths", torch.tensor([4, 2**62, 2]), ValueError),
    ("lengths", torch.tensor([4, 2]), ValueError),
    ("lengths", torch.tensor([[4, 2, 1]]), ValueError),
    ("lengths", torch.tensor([4.0, 0.0, 2.0]), TypeError),
    ("lengths", torch.tensor([4, 0, 2], dtype=torch.int32), TypeError),
    ("lengths", [4, 0, 2], TypeError),
    ("x", zeros(B, T), ValueError),
    ("x", zeros(B, T, INPUTS, 1, 1), ValueError),
    ("x", zeros(B, T, INPUTS).tolist(), TypeError),
    ("x", None, TypeError),
    ("x", zeros(B, T, INPUTS).to_sparse(), ValueError),
    ("x", torch.zeros(B, T, INPUTS, device="meta"), ValueError),
    ("w_hh", zeros(4 * H, H + 1), ValueError),
    ("w_hh", zeros(24, 0), ValueError),
    ("w_hh", None, TypeError),
    ("h", None, TypeError),
    ("c", None, TypeError),
    ("extra", zeros(3 * H), ValueError),
    ("keep", zeros(1, B, T, H, dtype=torch.bool), ValueError),
    ("keep", zeros(2, B, T, H), TypeError),
    ("keep_share", 1.5, ValueError),
    ("keep_share", float("nan"), ValueError),
    ("keep_share", "much", TypeError),
    ("threads", 0, ValueError),
    ("threads", 10**9, ValueError),
    ("threads", 2.5, TypeError),
    ("cell", "lstn", ValueError),
    ("cell", 7, TypeError),
    ("y", None, TypeError),
]


def normalised_arguments():
    """Of the backward entry, with layer normalisation."""
    saved = zeros(native.core().saved_floats("lstm", B, 6, H, True))
    return backward_arguments() | {
        **dict.fromkeys(("b_ih", "b_hh", "d_b_ih", "d_b_hh")),
        "norm": zeros(16 * H),
        "norm_memory": zeros(2 * H),
        "saved": saved,
        "d_norm": zeros(16 * H),
        "d_norm_memory": zeros(2 * H),
    }


def test_the_right_arguments_are_accepted():
    for cell in ("lstm", "prototype", "peephole", "normalised"):
        native.core().recurrent_forward(*forward_arguments(cell).values())
        native.core().recurrent_backward(*backward_arguments(cell).values())


@pytest.mark.parametrize(("name", "value", "error"), VALUES, ids=lambda v: v if isinstance(v, str) else "")
def test_wrong_values(name, value, error):
    for entry, given in (("recurrent_forward", forward_arguments()), ("recurrent_backward", backward_arguments())):
        # nanobind refuses what is no number or string by listing the signature; the kernels name the argument
        with pytest.raises(error, match=name):
            getattr(native.core(), entry)(*(given | {name: value}).values())


@pytest.mark.parametrize("name", [*TENSORS, *GRADIENTS])
def test_wrong_type_size_and_layout_of_each_tensor(name):
    entry, given = (
        ("recurrent_backward", backward_arguments())
        if name in GRADIENTS
        else ("recurrent_forward", forward_arguments())
    )
    right = given[name]
    for value, error in spoiled(right):
        # with another size of w_ih, it is x that does not fit
        with pytest.raises(error, match=r"^(x|w_ih):" if name in ("x", "w_ih") else f"^{name}:"):
            getattr(native.core(), entry)(*(given | {name: value}).values())


def spoiled(right):
    """A tensor with another type, size, rank or layout, and the error of each."""
    wider, strided = right.new_zeros(*right.shape[:-1], right.shape[-1] + 1), right.new_zeros(*right.shape, 2)[..., 0]
    return [(right.double(), TypeError), *((wrong, ValueError) for wrong in (wider, right[None], strided))]


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("d_norm", normalised_arguments),
        ("d_norm_memory", normalised_arguments),
        ("d_extra", lambda: backward_arguments("peephole")),
        ("d_extra", lambda: backward_arguments("normalised")),
    ],
)
def test_wrong_gradients_of_what_only_some_cells_have(name, given):
    right = given()
    native.core().recurrent_backward(*right.values())
    for value, error in spoiled(right[name]):
        with pytest.raises(error, match=f"^{name}:"):
            native.core().recurrent_backward(*(right | {name: value}).values())


@pytest.mark.parametrize("name", ["d_extra", "d_c", "d_final_c", "d_norm", "d_norm_memory"])
def test_gradients_of_what_a_cell_has_not_are_refused(name):
    right = backward_arguments("prototype")
    with pytest.raises(ValueError, match=f"^{name}: expected None"):
        native.core().recurrent_backward(*(right | {name: zeros(B, H)}).values())


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("tokens", torch.full((B, T), 7), ValueError),
        ("tokens", torch.full((B, T), -1), ValueError),
        ("tokens", torch.zeros(B, T, dtype=torch.int32), TypeError),
        ("tokens", torch.zeros(B * T, dtype=torch.int64), ValueError),
        ("tokens", torch.zeros(B, T + 1, dtype=torch.int64), ValueError),
        ("w_ih", zeros(4 * H, INPUTS), ValueError),
        ("x", zeros(B, T, 4 * H), ValueError),
        ("x", zeros(7, 4 * H + 1), ValueError),
    ],
)
def test_wrong_values_beside_tokens(name, value, error):
    right = {"x": zeros(7, 4 * H), "tokens": torch.zeros(B, T, dtype=torch.int64), "w_ih": None}
    for entry, given in (
        ("recurrent_forward", forward_arguments() | right),
        ("recurrent_backward", backward_arguments() | right | {"d_x": zeros(7, 4 * H), "d_w_ih": None}),
    ):
        getattr(native.core(), entry)(*given.values())
        with pytest.raises(error, match="lengths|y|tokens|x|w_ih" if value.shape == (B, T + 1) else name):
            getattr(native.core(), entry)(*(given | {name: value}).values())


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("norm", zeros(4 * 4 * H + 1), ValueError),
        ("norm", zeros(4 * 4 * H).double(), TypeError),
        ("norm_memory", zeros(2 * H, 1), ValueError),
        ("norm_memory", None, TypeError),
        ("norm", None, ValueError),
        ("w_ih", None, ValueError),
        ("b_ih", zeros(4 * H), ValueError),
        ("b_hh", zeros(4 * H), ValueError),
        ("cell", "prototype", ValueError),
        ("cell", "mingru", ValueError),
    ],
)
def test_wrong_values_of_layer_normalisation(name, value, error):
    backward = normalised_arguments()
    forward = {part: backward.get(part, value) for part, value in forward_arguments().items()}
    for entry, given in (("recurrent_forward", forward), ("recurrent_backward", backward)):
        getattr(native.core(), entry)(*given.values())
        known = {"cell": "c: expected|norm|w_ih|w_hh", "norm": "norm", "w_ih": "^x: expected"}.get(name, name)
        with pytest.raises(error, match=known):
            getattr(native.core(), entry)(*(given | {name: value}).values())


@pytest.mark.parametrize("name", ["w_ih", "w_hh", "b_ih", "b_hh", "mask"])
def test_a_cell_without_a_product_takes_no_weights(name):
    given = forward_arguments("mingru")
    weights = {part: given.pop(part) for part in ("w_ih", "w_hh", "b_ih", "b_hh", "mask")}
    right = forward_arguments("mingru") | dict.fromkeys(weights) | {"x": zeros(B, T, 2 * H)}
    native.core().recurrent_forward(*right.values())
    with pytest.raises(ValueError, match=f"{name}: expected None" if name != "w_ih" else "w_ih|x"):
        native.core().recurrent_forward(*(right | {name: weights[name]}).values())


@pytest.mark.parametrize("name", ["y", "saved", "final_h"])
def test_results_may_not_overlap_what_is_read(name):
    given = forward_arguments()
    block = zeros(10_000)
    given["x"] = block[: B * T * INPUTS].view(B, T, INPUTS)
    given[name] = block[1 : 1 + given[name].numel()].view(given[name].shape)
    with pytest.raises(ValueError, match=f"{name}: overlaps x"):
        native.core().recurrent_forward(*given.values())


def test_a_layer_beyond_the_memory_is_refused_before_anything_is_written():
    with pytest.raises(MemoryError):
        native.core().saved_floats("lstm", 2**31, 2**40, 2**31)


@pytest.mark.parametrize("name", ["rows", "real_steps", "hidden"])
def test_negative_sizes_are_refused_by_name(name):
    with pytest.raises(ValueError, match=f"^{name}: expected 0 or more, got -5"):
        native.core().saved_floats(**{"cell": "lstm", "rows": 3, "real_steps": 3, "hidden": 3} | {name: -5})


REFUSES_WITHOUT_MEMORY = """
import resource, torch
from pathlib import Path
from unspool import native
B, T, H = 8, 16, 2048
state, x, w = torch.zeros(B, H), torch.zeros(B, T, H), torch.zeros(H, H)
results = [torch.full(shape, 7.0) for shape in ((B, T, H), (B, H))]
told = ("rnn_tanh", x, None, None, w, w, *[None] * 3, state, *[None] * 5, 0.0, False, 1)
limit = int(Path("/proc/self/statm").read_text().split()[0]) * 4096 + 2**22  # packed weights take 32 MiB
resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
try:
    native.core().recurrent_forward(*told, results[0], None, results[1], None)
except MemoryError:
    print("refused", all(bool((part == 7.0).all()) for part in results))
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
native.core().recurrent_forward(*told, results[0], None, results[1], None)
print("computed", not any(bool(part.any()) for part in results))
"""


def test_a_call_that_finds_no_memory_writes_nothing():
    if not sys.platform.startswith("linux"):
        pytest.skip("reads /proc")
    done = subprocess.run([sys.executable, "-c", REFUSES_WITHOUT_MEMORY], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["refused", "True", "computed", "True"]


def test_sizes_have_64_bits():
    for total in (2**31 - 1, 2**31, 2**31 + 1):
        assert native.core().saved_floats("rnn_tanh", 0, total, 16) == total * 16


def test_a_very_wide_layer_equals_its_equation_in_double():
    """256 MiB of recurrent weights. In relative norm: a sum of 8,192 products rounds more than one of 100."""
    torch.manual_seed(0)
    wide = 8192
    w_hh, outer = torch.randn(wide, wide) * wide**-0.5, torch.randn(1, 2, wide)
    drawn = torch.randn(1, 2, 3), torch.randn(1, wide), torch.randn(wide, 3)

    def by_equation(x, h, w_ih, w_hh):
        first = torch.tanh(x[:, 0] @ w_ih.T + h @ w_hh.T)
        return torch.stack([first, torch.tanh(x[:, 1] @ w_ih.T + first @ w_hh.T)], 1)

    def by_core(x, h, w_ih, w_hh):
        return recurrent.run("rnn", x, (h,), {"weight_ih": w_ih, "weight_hh": w_hh})[0]

    found = []
    for way, dtype in ((by_core, torch.float32), (by_equation, torch.float64)):
        leaves = [part.to(dtype).requires_grad_() for part in drawn]
        y = way(*leaves, w_hh.to(dtype))
        found.append([y.detach(), *torch.autograd.grad(y, leaves, outer.to(dtype))])
    for mine, exact in zip(*found, strict=True):
        assert float((mine - exact).norm()) <= 5e-6 * float(exact.norm())


def test_one_openmp_runtime_is_loaded():
    """A second one would oversubscribe the cores, and torch's thread count would not govern it."""
    script = (
        "import torch, unspool.nn\n"
        "layer = unspool.nn.LSTM(8, 8)\n"
        "layer(torch.zeros(4, 4, 8))\n"
        "torch.zeros(600, 600) @ torch.zeros(600, 600)\n"
        "paths = {line.split()[-1] for line in open('/proc/self/maps') if 'libgomp' in line or 'libiomp' in line}\n"
        "assert len(paths) == 1, paths\n"
    )
    if not sys.platform.startswith("linux"):
        pytest.skip("reads /proc")
    subprocess.run([sys.executable, "-c", script], check=True)


def test_instruction_set_is_chosen_by_name(monkeypatch):
    monkeypatch.setenv("UNSPOOL_ISA", "scalar")
    assert native.core().target() == "scalar"
    assert "scalar" in native.backend()
    monkeypatch.delenv("UNSPOOL_ISA")
    native.core()
    monkeypatch.setenv("UNSPOOL_ISA", "sse9")
    with pytest.raises(ValueError, match=r"UNSPOOL_ISA: expected .*scalar or off, got 'sse9'"):
        native.core()
