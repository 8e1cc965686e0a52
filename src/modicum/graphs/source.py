"""A graph as source code that depends on nothing but the language's own mathematics: C or Python."""

import keyword
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from modicum.graphs.encoding import MISSING, Column, Encoding
from modicum.graphs.graph import Graph


@dataclass(frozen=True)
class _Dialect:
    """How a language says the few things that are needed.

    Attributes:
        number: Parameter of a function for a column of numbers.
        text: The same for one of categories.
        assign: Definition of a number by an expression.
        fill: Replaces a number that is NaN by another.
        equals: A number that is 1 where a text is another, else 0.
        either: A number that is 1 where one of two such numbers is.
        quote: A text as a literal.
        calls: The call of each activation.
        helpers: Definition of those activations that the language lacks.
        reserved: Words that nothing may be called.
    """

    number: str
    text: str
    assign: str
    fill: str
    equals: str
    either: str
    quote: Callable[[str], str]
    calls: Mapping[str, str]
    helpers: Mapping[str, str]
    reserved: tuple[str, ...]


def _quote_c(text: str) -> str:
    """A C literal of the text in UTF-8; what is not plain is in octal, which no digit behind it can lengthen."""
    plain = re.compile(rb"[A-Za-z0-9 _.,:;<=>()+*/-]")
    return '"' + "".join(chr(b) if plain.fullmatch(bytes([b])) else f"\\{b:03o}" for b in text.encode()) + '"'


# C's own words, those that C23 and GNU C add, what headers and compilers define, and the functions that are called.
_C_WORDS = {
    *(
        "auto",
        "break",
        "case",
        "char",
        "const",
        "continue",
        "default",
        "do",
        "double",
        "else",
        "enum",
        "extern",
        "float",
    ),
    *("for", "goto", "if", "inline", "int", "long", "register", "restrict", "return", "short", "signed", "sizeof"),
    *("static", "struct", "switch", "typedef", "union", "unsigned", "void", "volatile", "while"),
    *("alignas", "alignof", "asm", "bool", "constexpr", "false", "linux", "nullptr", "static_assert", "thread_local"),
    *("true", "typeof", "typeof_unqual", "unix", "NULL", "NAN", "INFINITY", "HUGE_VAL", "HUGE_VALF", "HUGE_VALL"),
    *("math_errhandling", "MATH_ERRNO", "MATH_ERREXCEPT", "FP_NAN", "FP_INFINITE", "FP_ZERO", "FP_SUBNORMAL"),
    *("FP_NORMAL", "FP_ILOGB0", "FP_ILOGBNAN", "M_E", "M_LOG2E", "M_LOG10E", "M_LN2", "M_LN10", "M_PI", "M_PI_2"),
    *("M_PI_4", "M_1_PI", "M_2_PI", "M_2_SQRTPI", "M_SQRT2", "M_SQRT1_2"),
    *("exp", "log1p", "sin", "tanh", "fabs", "isnan", "strcmp", "silu", "softplus", "outputs", "main"),
}
_C = _Dialect(
    number="double {}",
    text="const char *{}",
    assign="const double {} = {};",
    fill="if (isnan({0})) {0} = {1};",
    equals="strcmp({}, {}) == 0",
    either="{} || {}",
    quote=_quote_c,
    calls={"tanh": "tanh({})", "sin": "sin({})", "silu": "silu({})", "softplus": "softplus({})"},
    helpers={
        "silu": "static double silu(double x) { return x * (0.5 + 0.5 * tanh(0.5 * x)); }\n",
        "softplus": "static double softplus(double x) { return (x > 0 ? x : 0) + log1p(exp(-fabs(x))); }\n",
    },
    reserved=tuple(_C_WORDS),
)
_PYTHON = _Dialect(
    number="{}",
    text="{}",
    assign="{} = {}",
    fill="{0} = {0} if {0} == {0} else {1}",
    equals="float({} == {})",
    either="max({}, {})",
    quote=repr,
    calls={"tanh": "math.tanh({})", "sin": "math.sin({})", "silu": "silu({})", "softplus": "softplus({})"},
    helpers={
        "silu": "def silu(x):\n    return x * (0.5 + 0.5 * math.tanh(0.5 * x))\n\n",
        "softplus": "def softplus(x):\n    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))\n\n",
    },
    reserved=(*keyword.kwlist, *keyword.softkwlist, "math", "float", "max", "abs", "silu", "softplus"),
)


def to_c(graph: Graph, encoding: Encoding, *, name: str = "predict") -> str:
    """A C file (C99) with one function, ``void predict(columns..., double *outputs)``.

    Columns of numbers are ``double``, columns of categories ``const char *``; an empty cell is NaN or an empty text.
    A category that training never saw counts as none of the known ones.

    Args:
        graph: On raw inputs.
        encoding: What its inputs and outputs mean.
        name: Of the function.
    """
    names = _Names(graph, encoding, (*_C.reserved, name))
    sums = _sums(graph, names)
    stores = [f"outputs[{place}] = {total};" for place, total in enumerate(sums[graph.num_hidden :])]
    has_texts = any(column.categories is not None for column in encoding.columns)
    signature = ", ".join([*_parameters(encoding, names, _C), "double *outputs"])
    unused = [f"(void){names.columns[column.name]};" for column in encoding.columns]
    lines = [
        f"/* {_summary(graph, encoding).replace('*/', '* /')} Link with -lm. */",
        "#include <math.h>",
        *(["#include <string.h>"] if has_texts else []),
        "",
        *_helpers(graph, _C),
        f"void {name}({signature}) {{",
        *(f"    {line}" for line in (*unused, *_statements(graph, encoding, names, _C), *stores)),
        "}",
    ]
    return "\n".join(lines) + "\n"


def to_python(graph: Graph, encoding: Encoding, *, name: str = "predict") -> str:
    """A Python file with one function, ``predict(columns...)``, that returns the output, or a tuple of several.

    Columns of numbers are floats, columns of categories texts; an empty cell is NaN or an empty text. A category that
    training never saw counts as none of the known ones.

    Args:
        graph: On raw inputs.
        encoding: What its inputs and outputs mean.
        name: Of the function.
    """
    names = _Names(graph, encoding, (*_PYTHON.reserved, name))
    outputs = _sums(graph, names)[graph.num_hidden :]
    result = outputs[0] if len(outputs) == 1 else f"({', '.join(outputs)})"
    lines = [
        f"# {_summary(graph, encoding)}",
        "import math",
        "",
        "",
        *_helpers(graph, _PYTHON),
        f"def {name}({', '.join(_parameters(encoding, names, _PYTHON))}):",
        *(f"    {line}" for line in (*_statements(graph, encoding, names, _PYTHON), f"return {result}")),
    ]
    return "\n".join(lines) + "\n"


class _Names:
    """Identifiers for the columns and nodes of a graph, no two alike.

    Attributes:
        columns: By name of the column.
        nodes: One per input and hidden neuron of the graph.
    """

    def __init__(self, graph: Graph, encoding: Encoding, reserved: Sequence[str]) -> None:
        taken = set(reserved)
        self.columns = {column.name: _identifier(column.name, taken) for column in encoding.columns}
        inputs = [
            self.columns[column.name] if column.categories is None else _identifier(feature, taken)
            for column in encoding.columns
            for feature in column.features
        ]
        self.nodes = [*inputs, *(_identifier(f"h{number + 1}", taken) for number in range(graph.num_hidden))]


def _identifier(name: str, taken: set[str]) -> str:
    """A new identifier that reminds of ``name``; it is added to ``taken``."""
    plain = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_") or "column"
    plain = f"column_{plain}" if plain[0].isdigit() else plain
    number, candidate = 1, plain
    while candidate in taken:
        number += 1
        candidate = f"{plain}_{number}"
    taken.add(candidate)
    return candidate


def _parameters(encoding: Encoding, names: _Names, dialect: _Dialect) -> list[str]:
    forms = [dialect.number if column.categories is None else dialect.text for column in encoding.columns]
    return [form.format(names.columns[column.name]) for form, column in zip(forms, encoding.columns, strict=True)]


def _statements(graph: Graph, encoding: Encoding, names: _Names, dialect: _Dialect) -> list[str]:
    """What comes before the outputs: empty cells filled, categories as numbers, neurons in their order."""
    used = set(graph.sources.tolist())
    lines, place = [], 0
    for column in encoding.columns:
        nodes = range(place, place + len(column.features))
        lines += _column_statements(column, [n for n in nodes if n in used], place, names, dialect)
        place = nodes.stop
    hidden = names.nodes[graph.num_inputs :]
    for name, activation, total in zip(hidden, graph.activations, _sums(graph, names), strict=False):
        lines.append(dialect.assign.format(name, dialect.calls[activation].format(total)))
    return lines


def _column_statements(column: Column, used: Sequence[int], first: int, names: _Names, dialect: _Dialect) -> list[str]:
    name = names.columns[column.name]
    if column.categories is None:
        return [dialect.fill.format(name, repr(column.fill))] if used and column.fill is not None else []
    return [
        dialect.assign.format(names.nodes[node], _is_category(name, column.shown_categories[node - first], dialect))
        for node in used
    ]


def _is_category(name: str, category: str, dialect: _Dialect) -> str:
    says = dialect.equals.format(name, dialect.quote(category))
    return dialect.either.format(dialect.equals.format(name, dialect.quote("")), says) if category == MISSING else says


def _sums(graph: Graph, names: _Names) -> list[str]:
    """What every hidden neuron and output sums up; numbers with all their digits."""
    has_bias = graph.has_bias.tolist()
    sums = [repr(bias) if has else "" for bias, has in zip(graph.biases.tolist(), has_bias, strict=True)]
    for source, target, weight in zip(
        graph.sources.tolist(), graph.targets.tolist(), graph.weights.tolist(), strict=True
    ):
        before = sums[target - graph.num_inputs]
        term = f"{abs(weight)!r} * {names.nodes[source]}"
        sign = ("-" if weight < 0 else "") if not before else " - " if weight < 0 else " + "
        sums[target - graph.num_inputs] = before + sign + term
    return [total or "0.0" for total in sums]


def _helpers(graph: Graph, dialect: _Dialect) -> list[str]:
    return [text for name, text in dialect.helpers.items() if name in graph.activations]


def _summary(graph: Graph, encoding: Encoding) -> str:
    outputs = ", ".join(" ".join(output.split()) for output in encoding.outputs)
    meaning = "scores of the classes, the greatest wins" if encoding.classes else "one number"
    return f"{graph.num_parameters} parameters; output: {outputs} ({meaning})."
