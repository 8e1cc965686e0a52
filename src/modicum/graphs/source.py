"""A graph as source code that depends on nothing but the language's own mathematics: C (also C++) or Python.

Missing, unknown and infinite cells are treated as `modicum.graphs.encoding` says, and the source states how.
"""

import keyword
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from modicum.graphs.c_words import C_WORDS
from modicum.graphs.encoding import MISSING, Column, Encoding
from modicum.graphs.graph import Graph


@dataclass(frozen=True)
class _Dialect:
    """How a language says the few things that are needed.

    Attributes:
        number: Parameter of a function for a column of numbers.
        text: The same for one of categories.
        assign: Definition of a number by an expression.
        read_number: Makes NaN of a number that is missing, where anything is to be done.
        fill: Replaces a number that is NaN by another.
        is_endless: Holds where a number is NaN or infinite.
        read_text: Makes an empty text of a text that is missing.
        is_one_of: Holds where a text is one of some.
        is_none_of: Holds where it is none of them.
        refuse: Ends the function without an answer where a condition holds.
        calls: The call of each activation.
        helpers: Definition of those activations that the language lacks.
        reserved: Words that nothing may be called.
    """

    number: str
    text: str
    assign: str
    read_number: Callable[[str], list[str]]
    fill: str
    is_endless: str
    read_text: Callable[[str, Sequence[str]], list[str]]
    is_one_of: Callable[[str, Sequence[str]], str]
    is_none_of: Callable[[str, Sequence[str]], str]
    refuse: Callable[[str, int], list[str]]
    calls: Mapping[str, str]
    helpers: Mapping[str, str]
    reserved: tuple[str, ...]


def _quote_c(text: str) -> str:
    """Returns the text as a C literal in UTF-8; special bytes are octal, which no following digit can lengthen."""
    plain = re.compile(rb"[A-Za-z0-9 _.,:;<=>()+*/-]")
    return '"' + "".join(chr(b) if plain.fullmatch(bytes([b])) else f"\\{b:03o}" for b in text.encode()) + '"'


def _equal_c(name: str, texts: Sequence[str]) -> list[str]:
    return [f"strcmp({name}, {_quote_c(text)}) == 0" for text in texts]


def _read_text_c(name: str, missing_words: Sequence[str]) -> list[str]:
    return [f'if ({" || ".join([f"{name} == NULL", *_equal_c(name, missing_words)])}) {name} = "";']


def _refuse_c(condition: str, num_outputs: int) -> list[str]:
    nothing = " ".join(f"outputs[{place}] = NAN;" for place in range(num_outputs))
    return [f"if ({condition}) {{ {nothing} return; }}"]


def _refuse_python(condition: str, num_outputs: int) -> list[str]:
    nothing = "math.nan" if num_outputs == 1 else f"({', '.join(['math.nan'] * num_outputs)})"
    return [f"if {condition}:", f"    return {nothing}"]


def _read_text_python(name: str, missing_words: Sequence[str]) -> list[str]:
    lines = [f"{name} = text({name})"]
    if missing_words:
        lines.append(f'{name} = "" if {_among(name, missing_words)} else {name}')
    return lines


def _among(name: str, texts: Sequence[str]) -> str:
    return f"{name} in ({', '.join(map(repr, texts))},)"


_C = _Dialect(
    number="double {}",
    text="const char *{}",
    assign="const double {} = {};",
    read_number=lambda _: [],
    fill="if (isnan({0})) {0} = {1};",
    is_endless="!isfinite({})",
    read_text=_read_text_c,
    is_one_of=lambda name, texts: " || ".join(_equal_c(name, texts)),
    is_none_of=lambda name, texts: f"!({' || '.join(_equal_c(name, texts))})",
    refuse=_refuse_c,
    calls={"tanh": "tanh({})", "sin": "sin({})", "silu": "silu({})", "softplus": "softplus({})"},
    helpers={
        "silu": "static double silu(double x) { return x * (0.5 + 0.5 * tanh(0.5 * x)); }\n",
        "softplus": "static double softplus(double x) { return (x > 0 ? x : 0) + log1p(exp(-fabs(x))); }\n",
    },
    reserved=tuple(C_WORDS),
)
_READERS = (
    "def is_missing(cell):\n"
    "    if isinstance(cell, str):\n"
    '        return cell == ""\n'
    '    return cell is None or str(cell) in ("nan", "NaN", "<NA>", "NaT")\n\n\n'
)
_NUMBER_READER = (
    "def number(cell):\n"
    "    try:\n"
    '        return math.nan if is_missing(cell) or "_" in str(cell) else float(cell)\n'
    "    except ValueError:\n"
    "        return math.nan\n\n\n"
)
_TEXT_READER = (
    "def text(cell):\n"
    "    if is_missing(cell):\n"
    '        return ""\n'
    "    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)\n\n\n"
)
_PYTHON = _Dialect(
    number="{}",
    text="{}",
    assign="{} = {}",
    read_number=lambda name: [f"{name} = number({name})"],
    fill="{0} = {0} if {0} == {0} else {1}",
    is_endless="not math.isfinite({})",
    read_text=_read_text_python,
    is_one_of=lambda name, texts: f"float({_among(name, texts)})",
    is_none_of=lambda name, texts: f"not {_among(name, texts)}",
    refuse=_refuse_python,
    calls={"tanh": "math.tanh({})", "sin": "math.sin({})", "silu": "silu({})", "softplus": "softplus({})"},
    helpers={
        "silu": "def silu(x):\n    return x * (0.5 + 0.5 * math.tanh(0.5 * x))\n\n",
        "softplus": "def softplus(x):\n    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))\n\n",
    },
    reserved=(
        *(*keyword.kwlist, *keyword.softkwlist, "math", "float", "int", "str", "isinstance", "max", "abs"),
        *("ValueError", "is_missing", "number", "text", "silu", "softplus"),
    ),
)


def to_c(graph: Graph, encoding: Encoding, *, name: str = "predict") -> str:
    """Returns a file, valid as both C99 and C++, with one function, ``void predict(columns..., double *outputs)``.

    Columns of numbers are ``double``, those of dates days since 1970-01-01, columns of categories ``const char *``; a
    missing cell is NaN, or NULL or an empty text. A row that cannot be answered gives NaN in all outputs.

    Args:
        graph: A graph on raw inputs.
        encoding: What its inputs and outputs mean.
        name: Name of the function.
    """
    names = _Names(graph, encoding, (*_C.reserved, name))
    sums = _sums(graph, names)
    stores = [f"outputs[{place}] = {total};" for place, total in enumerate(sums[graph.num_hidden :])]
    has_texts = any(column.categories is not None for column in encoding.columns)
    signature = ", ".join([*_parameters(encoding, names, _C), "double *outputs"])
    unused = [f"(void){names.columns[column.name]};" for column in encoding.columns]
    comment = [
        _summary(graph, encoding) + " Link with -lm.",
        *_policy(graph, encoding, names, "NaN, NULL or an empty text"),
    ]
    lines = [
        "/* " + "\n   ".join(line.replace("*/", "* /") for line in comment) + " */",
        "#include <math.h>",
        *(["#include <string.h>"] if has_texts else []),
        "",
        "#ifdef __cplusplus",
        'extern "C" {',
        "#endif",
        "",
        *_helpers(graph, _C),
        f"void {name}({signature}) {{",
        *(f"    {line}" for line in (*unused, *_statements(graph, encoding, names, _C), *stores)),
        "}",
        "",
        "#ifdef __cplusplus",
        "}",
        "#endif",
    ]
    return "\n".join(lines) + "\n"


def to_python(graph: Graph, encoding: Encoding, *, name: str = "predict") -> str:
    """Returns a Python file with one function, ``predict(columns...)``, that returns the output, or a tuple of several.

    Columns of numbers are floats, those of dates days since 1970-01-01, columns of categories texts; a missing cell is
    None, NaN, NA or an empty text. A row that cannot be answered gives NaN.

    Args:
        graph: A graph on raw inputs.
        encoding: What its inputs and outputs mean.
        name: Name of the function.
    """
    names = _Names(graph, encoding, (*_PYTHON.reserved, name))
    outputs = _sums(graph, names)[graph.num_hidden :]
    result = outputs[0] if len(outputs) == 1 else f"({', '.join(outputs)})"
    comment = [_summary(graph, encoding), *_policy(graph, encoding, names, "None, NaN, NA or an empty text")]
    lines = [
        *(f"# {line}" for line in comment),
        "import math",
        "",
        "",
        _readers(graph, encoding)
        + "".join(_helpers(graph, _PYTHON))
        + f"def {name}({', '.join(_parameters(encoding, names, _PYTHON))}):",
        *(f"    {line}" for line in (*_statements(graph, encoding, names, _PYTHON), f"return {result}")),
    ]
    return "\n".join(lines) + "\n"


def _readers(graph: Graph, encoding: Encoding) -> str:
    kinds = {column.categories is None for column in encoding.read_columns(graph.used_inputs)}
    texts = [_NUMBER_READER if is_number else _TEXT_READER for is_number in sorted(kinds)]
    return "".join([_READERS, *texts]) if texts else ""


def _policy(graph: Graph, encoding: Encoding, names: "_Names", missing: str) -> list[str]:
    """Returns the rules for empty and unknown cells, one line each."""
    lines = [f"A missing cell is {missing}. A row that cannot be answered gives NaN in all outputs."]
    if encoding.missing_words:
        lines.append(f"These texts count as missing: {', '.join(map(_on_one_line, encoding.missing_words))}.")
    used = encoding.read_columns(graph.used_inputs)
    return [*lines, *(f"{names.columns[column.name]}: {_column_policy(column)}." for column in used)]


def _column_policy(column: Column) -> str:
    if column.categories is not None:
        known = ", ".join(_on_one_line(text) for text in column.categories if text != MISSING)
        is_fillable = MISSING in column.categories
        told = "or missing; any other text" if is_fillable else "; missing or any other text"
        return f"one of {known}{' ' if is_fillable else ''}{told} gives no answer"
    kind = "days since 1970-01-01 (UTC)" if column.is_date else "a number"
    gap = "missing gives no answer" if column.fill is None else f"missing is taken as {column.fill!r}"
    return f"{kind}; {gap}"


def _on_one_line(text: str) -> str:
    return repr(" ".join(text.split()))


class _Names:
    """Identifiers for the columns and nodes of a graph, no two alike.

    Attributes:
        columns: By name of the column.
        nodes: One per input and hidden neuron of the graph.
        num_outputs: Of the graph.
        missing_words: Texts that count as missing.
    """

    def __init__(self, graph: Graph, encoding: Encoding, reserved: Sequence[str]) -> None:
        taken = set(reserved)
        self.num_outputs, self.missing_words = graph.num_outputs, encoding.missing_words
        self.columns = {column.name: _identifier(column.name, taken) for column in encoding.columns}
        inputs = [
            self.columns[column.name] if column.categories is None else _identifier(feature, taken)
            for column in encoding.columns
            for feature in column.features
        ]
        self.nodes = [*inputs, *(_identifier(f"h{number + 1}", taken) for number in range(graph.num_hidden))]


def _identifier(name: str, taken: set[str]) -> str:
    """Returns a new identifier that resembles ``name``, and adds it to ``taken``."""
    plain = re.sub(r"[\W_]+", "_", name, flags=re.ASCII).strip("_") or "column"  # C++ reserves double underscores
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
    """Returns the statements before the outputs: missing cells filled, categories as numbers, neurons in order."""
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
    """Reads a column that the graph uses, and ends the function if its cell cannot be used."""
    if not used:
        return []
    name = names.columns[column.name]
    if column.categories is None:
        fill = [] if column.fill is None else [dialect.fill.format(name, repr(column.fill))]
        return [*dialect.read_number(name), *fill, *dialect.refuse(dialect.is_endless.format(name), names.num_outputs)]
    known = [text for category in column.categories for text in _texts_of(category)]
    return [
        *dialect.read_text(name, names.missing_words),
        *dialect.refuse(dialect.is_none_of(name, known), names.num_outputs),
        *(
            dialect.assign.format(
                names.nodes[node], dialect.is_one_of(name, _texts_of(column.shown_categories[node - first]))
            )
            for node in used
        ),
    ]


def _texts_of(category: str) -> tuple[str, ...]:
    """Returns the texts that stand for a category."""
    return ("", MISSING) if category == MISSING else (category,)


def _sums(graph: Graph, names: _Names) -> list[str]:
    """Returns the sum of every hidden neuron and output as text, numbers with all their digits."""
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
