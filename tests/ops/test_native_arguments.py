"""Wrong arguments handed to the C++ entries themselves: each is refused by name, before anything is read or written."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from unspool import native

pytestmark = pytest.mark.skipif(native.core() is None, reason="the compiled core is absent or off")

B, T, INPUTS, H = 3, 4, 5, 6


def zeros(*shape, dtype=torch.float32):
    return torch.zeros(shape, dtype=dtype)


def forward_arguments(cell="lstm"):
    memory = zeros(B, H) if cell == "lstm" else None
    return {
        "cell": cell,
        "x": zeros(B, T, INPUTS),
        "lengths": torch.tensor([4, 0, 2]),
        "tokens": None,
        "w_ih": zeros(4 * H, INPUTS),
        "w_hh": zeros(4 * H, H),
        "b_ih": zeros(4 * H),
        "b_hh": zeros(4 * H),
        "extra": None,
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
        "d_extra": None,
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


def test_the_right_arguments_are_accepted():
    for cell in ("lstm", "prototype"):
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
    if name != "w_ih":  # with another size of w_ih, it is x that does not fit
        wrong = [(right.double(), TypeError), (right.new_zeros(*right.shape[:-1], right.shape[-1] + 1), ValueError)]
    else:
        wrong = [(right.double(), TypeError)]
    strided = right.new_zeros(*right.shape, 2)[..., 0]
    for value, error in [*wrong, (strided, ValueError)]:
        with pytest.raises(error, match=r"x|w_ih" if name in ("x", "w_ih") else name):
            getattr(native.core(), entry)(*(given | {name: value}).values())


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
    right = dict.fromkeys(("b_ih", "b_hh")) | {
        "norm": zeros(16 * H),
        "norm_memory": zeros(2 * H),
        "saved": zeros(native.core().saved_floats("lstm", B, 6, H, True)),
    }
    gradients = {"d_b_ih": None, "d_b_hh": None, "d_norm": zeros(16 * H), "d_norm_memory": zeros(2 * H)}
    for entry, given in (
        ("recurrent_forward", forward_arguments() | right),
        ("recurrent_backward", backward_arguments() | right | gradients),
    ):
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


def test_sizes_have_64_bits():
    for total in (2**31 - 1, 2**31, 2**31 + 1):
        assert native.core().saved_floats("rnn_tanh", 0, total, 16) == total * 16


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
