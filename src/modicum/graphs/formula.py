"""A graph as a formula that people read: one line per neuron, or one closed expression per output, in SymPy."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import sympy
from sympy import Expr, Symbol

from modicum.graphs.graph import Graph

_FUNCTIONS: Mapping[str, Callable[[Expr], Expr]] = {
    "tanh": sympy.tanh,
    "sin": sympy.sin,
    "silu": lambda x: x / (1 + sympy.exp(-x)),
    "softplus": lambda x: sympy.log(1 + sympy.exp(x)),
}


_LATEX: Mapping[str, str] = {
    **{sign: f"\\{sign}" for sign in "#$%&_{}"},
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
}


@dataclass(frozen=True)
class Formula:
    """A graph in symbols.

    Attributes:
        inputs: One symbol per input of the graph, named like its column.
        neurons: What each hidden neuron ``h1``, ``h2``, ... is, in the order in which they can be computed.
        outputs: What each output is, by name.
    """

    inputs: tuple[Symbol, ...]
    neurons: tuple[tuple[Symbol, Expr], ...]
    outputs: tuple[tuple[Symbol, Expr], ...]

    def closed(self) -> tuple[Expr, ...]:
        """Returns each output as one expression of the inputs alone; long if neurons feed several others."""
        known: dict[Symbol, Expr] = {}
        for symbol, expression in self.neurons:
            known[symbol] = expression.xreplace(known)
        return tuple(expression.xreplace(known) for _, expression in self.outputs)

    def lines(self, digits: int = 4) -> list[str]:
        """Returns ``name = expression`` for every neuron and output, numbers to some significant digits."""
        return [f"{symbol} = {shorten(expression, digits)}" for symbol, expression in (*self.neurons, *self.outputs)]

    def latex(self, digits: int = 4, *, relation: str = "=") -> list[str]:
        """Returns `lines` in LaTeX math mode; names that are more than a letter and digits are upright text.

        Args:
            digits: Significant digits of each number.
            relation: Sign between the two sides, such as "&=" in an alignment.
        """
        pairs = (*self.neurons, *self.outputs)
        symbols = {*self.inputs, *(symbol for symbol, _ in pairs)}
        names = {symbol: _latex_name(symbol.name) for symbol in symbols}
        return [
            f"{names[symbol]} {relation} {sympy.latex(_rounded(value, digits), symbol_names=names)}"
            for symbol, value in pairs
        ]


def make_formula(graph: Graph, inputs: Sequence[str], outputs: Sequence[str]) -> Formula:
    """Returns the formula of a graph with all digits.

    Args:
        graph: The graph.
        inputs: A name for each of its inputs; unused inputs appear in no line.
        outputs: A name for each of its outputs.

    Raises:
        ValueError: If there are more or fewer names than inputs or outputs.

    Example:
        >>> make_formula(Graph(1, 1, (), [0], [1], [2.0], [0.5]), inputs=["x"], outputs=["y"]).outputs
        ((y, 2.0*x + 0.5),)
    """
    if (len(inputs), len(outputs)) != (graph.num_inputs, graph.num_outputs):
        raise ValueError(
            f"a graph of {graph.num_inputs} inputs and {graph.num_outputs} outputs needs as many names, "
            f"got {len(inputs)} and {len(outputs)}"
        )
    symbols = [*map(Symbol, inputs), *_neuron_symbols(graph.num_hidden, {*inputs, *outputs}), *map(Symbol, outputs)]
    has_bias = graph.has_bias.tolist()
    sums = [sympy.Float(b, 17) if has else sympy.S.Zero for b, has in zip(graph.biases.tolist(), has_bias, strict=True)]
    for source, target, weight in zip(graph.sources, graph.targets, graph.weights.tolist(), strict=True):
        sums[target - graph.num_inputs] += sympy.Float(weight, 17) * symbols[source]
    neurons = [_FUNCTIONS[name](total) for name, total in zip(graph.activations, sums, strict=False)]
    hidden, last = symbols[graph.num_inputs : graph.first_output], symbols[graph.first_output :]
    return Formula(
        tuple(symbols[: graph.num_inputs]),
        tuple(zip(hidden, neurons, strict=True)),
        tuple(zip(last, sums[graph.num_hidden :], strict=True)),
    )


def _latex_name(name: str) -> str:
    if re.fullmatch(r"[A-Za-z]", name):
        return name
    if found := re.fullmatch(r"([A-Za-z])(\d+)", name):
        return f"{found[1]}_{{{found[2]}}}"
    bare = name[1:-1] if name.startswith("[") and name.endswith("]") else name
    plain = " ".join("".join(sign if sign.isprintable() else " " for sign in bare).split())
    return rf"\text{{{''.join(_LATEX.get(sign, sign) for sign in plain)}}}"


def shorten(expression: Expr, digits: int) -> str:
    """Returns an expression as text, numbers to some significant digits."""
    return str(_rounded(expression, digits))


def _rounded(expression: Expr, digits: int) -> Expr:
    return expression.xreplace({number: sympy.Float(number, digits) for number in expression.atoms(sympy.Float)})


def _neuron_symbols(count: int, taken: set[str]) -> list[Symbol]:
    """Returns ``h1``, ``h2``, ..., or another letter if a column has such a name."""
    letter = next(mark for mark in ("h", "n", "hidden_") if not any(f"{mark}{k + 1}" in taken for k in range(count)))
    return [Symbol(f"{letter}{number + 1}") for number in range(count)]
