"""The nine recurrent layers. Their equations are in `unspool.ops.cells`, their common arguments in `Recurrent`."""

from __future__ import annotations

from typing import Any, Unpack

from unspool.errors import SettingError
from unspool.nn.recurrent import Options, Recurrent, flag
from unspool.ops import checks
from unspool.ops.call import NONLINEARITIES


class RNN(Recurrent):
    """The simple recurrent layer of Elman 1990, torch.nn.RNN. nonlinearity: "tanh" or "relu"."""

    cell = "rnn"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        **options: Unpack[Options],
    ) -> None:
        self.nonlinearity = checks.choice("nonlinearity", nonlinearity, NONLINEARITIES)
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, **options)

    def _cell_options(self) -> dict[str, Any]:
        return {"nonlinearity": self.nonlinearity}


class GRU(Recurrent):
    """The gated recurrent unit of Cho et al. 2014. reset_after: True as in torch and Keras (the reset gate acts
    on the recurrent product), False as in the paper (it acts on the state before the product)."""

    cell = "gru"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        reset_after: bool = True,
        **options: Unpack[Options],
    ) -> None:
        self.reset_after = flag("reset_after", reset_after)
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, **options)

    def _cell_options(self) -> dict[str, Any]:
        return {"reset_after": self.reset_after}


class ForgetGated(Recurrent):
    """Layers with the gates i, f, g, o. forget_bias: where the bias of f starts (Jozefowicz et al. 2015)."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        forget_bias: float = 1.0,
        **options: Unpack[Options],
    ) -> None:
        if isinstance(forget_bias, bool) or not isinstance(forget_bias, int | float):
            raise TypeError(f"forget_bias: expected a number, got {type(forget_bias).__name__}")
        if not bias and forget_bias not in (0.0, 1.0):
            raise SettingError("forget_bias has no effect with bias=False; leave it out")
        self.forget_bias = float(forget_bias)
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, **options)


class LSTM(ForgetGated):
    """Long short-term memory (Hochreiter & Schmidhuber 1997) with forget gate, torch.nn.LSTM. State (h, c)."""

    cell = "lstm"


class PeepholeLSTM(ForgetGated):
    """The LSTM whose gates also see the memory, each unit its own (Gers et al. 2002). State (h, c)."""

    cell = "peephole"


class PrototypeLSTM(ForgetGated):
    """The step towards an LSTM that has one state s and nothing that bounds it. State s; the output is s."""

    cell = "prototype"


class NormalisedPrototypeLSTM(ForgetGated):
    """The prototype that looks at its state through a normalisation over units. State s, raw."""

    cell = "normalised"


class PseudoLSTM(ForgetGated):
    """The prototype that looks at its state through tanh. State s, raw; the output is tanh(s)."""

    cell = "pseudo"


class MinGRU(Recurrent):
    """The GRU without a recurrent product (Feng et al. 2024), so recurrent_dropout is refused."""

    cell = "mingru"


class QRNN(Recurrent):
    """The quasi-recurrent network (Bradbury et al. 2017): gates from the last `kernel_size` inputs, so no
    recurrent product, and recurrent_dropout is refused.

    State (h, window of the first layer and direction, window of the next, …): a window (kernel_size - 1, B,
    features) holds the inputs before the next step, so that a text can be read in pieces.
    """

    cell = "qrnn"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        kernel_size: int = 2,
        **options: Unpack[Options],
    ) -> None:
        self.kernel_size = checks.positive("kernel_size", kernel_size)
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, **options)


RECURRENT: dict[str, type[Recurrent]] = {
    layer.cell: layer
    for layer in (
        RNN,
        GRU,
        LSTM,
        PeepholeLSTM,
        PrototypeLSTM,
        NormalisedPrototypeLSTM,
        PseudoLSTM,
        MinGRU,
        QRNN,
    )
}
"""Name of a model → its layer."""
