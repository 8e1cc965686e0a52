"""The command line: one verb per function of `modicum.verbs`, its flags derived from the function.

Exit codes: 0 all went well; 1 something asked for did not hold (an unreadable image, a missed target); 2 the input
was at fault; 130 interrupted (Ctrl-C); 143 asked to end (SIGTERM).
"""

import argparse
import io
import logging
import shlex
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modicum import verbs
from modicum.contract import AnySystem, Recipe
from modicum.stopping import EXIT_CODE, Terminated, terminable
from modicum.storage.errors import ModicumError, RecipeError
from modicum.storage.names import printable
from modicum.storage.provenance import modicum_version
from modicum.storage.runs import RunFolder
from modicum.systems import SYSTEMS, OnDemand

VERBS: dict[str, Callable[..., Any]] = {
    "list": verbs.list_systems,
    "train": verbs.train,
    "evaluate": verbs.evaluate,
    "calibrate": verbs.calibrate,
    "predict": verbs.predict,
    "report": verbs.report,
    "compare": verbs.compare,
    "export": verbs.export,
    "bench": verbs.bench,
    "data": verbs.data,
    "adopt": verbs.adopt,
}


def _training_examples() -> list[str]:
    return [*SYSTEMS["drnet"].examples, *(SYSTEMS[name].examples[1] for name in ("rnan", "qanet", "graphs"))]


EXAMPLES: Mapping[str, list[str]] = OnDemand(
    {
        "train": _training_examples,
        "list": lambda: ["modicum list --json"],
        "evaluate": lambda: ["modicum evaluate runs/drnet", "modicum evaluate runs/drnet --knob 0.5 --json"],
        "calibrate": lambda: [
            "modicum calibrate runs/drnet --budget 0.4",
            "modicum calibrate runs/drnet --budget_ms 3.5",
            "modicum calibrate runs/drnet --max-loss 0.01 --confidence 0.95  # the cheapest knob that loses no more",
            "modicum calibrate runs/drnet --max-loss 0.01 --without-labels traffic/",
        ],
        "predict": lambda: [
            "modicum predict runs/drnet dog.jpg cats/",
            "ls *.jpg | modicum predict runs/drnet - --json",
            "modicum predict runs/rnan photo.jpg -o out.png   # restores a photograph",
            "modicum predict runs/saliency photos/ -o masks/  # masks, cut-outs and overlays",
            "modicum predict runs/qanet --passage text.txt --question 'Who wrote it?'",
            "modicum predict runs/graphs new.csv -o predicted/  # a table with the predicted column",
        ],
        "report": lambda: ["modicum report runs/drnet"],
        "compare": lambda: [
            "modicum compare runs/a runs/b --out comparison.png",
            "modicum compare runs/drnet runs/static --clock  # times both anew, in turn",
        ],
        "export": lambda: ["modicum export runs/drnet --out deploy/"],
        "bench": lambda: ["modicum bench drnet", "modicum bench drnet --check  # exits with 1 if a target is missed"],
        "data": lambda: [
            "modicum data photos/",
            "modicum data photos/ --strict --preview sheet.png",
            "modicum data ECSSD/ --task saliency  # images with masks",
            "modicum data aerial_cars/ --task detect  # pictures with boxes",
            "modicum data squad/ --task reading  # questions about texts",
            "modicum data table.csv --task graphs  # what each column holds",
        ],
        "adopt": lambda: ["modicum adopt runs/drnet  # a run of an older modicum, whose files have no digests"],
    }
)
_LINE_ENDS = "\t\n"
COMMON = """
options of every command:
  --json                print the result as JSON
  --debug               show the traceback of an error
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code; see the module's docstring."""
    _let_names_through()
    _show_log()
    common, words = _common_parser().parse_known_args(arguments)
    try:
        name, *words = words or ["--help"]
        if name in ("-h", "--help", "--version"):
            print(f"modicum {modicum_version()}" if name == "--version" else overview())
            return 0
        with terminable(), _plain_warnings():
            return _run_verb(name, words, as_json=common.json)
    except KeyboardInterrupt as stop:
        _tell_stop("interrupted", stop)
        return 130
    except Terminated as stop:
        _tell_stop("ended by SIGTERM", stop)
        return EXIT_CODE
    except (ModicumError, ValueError, OSError) as error:
        if common.debug:
            raise
        print(f"modicum: {printable(_told(error), keep=_LINE_ENDS)}", file=sys.stderr)
        return 2


def _common_parser() -> argparse.ArgumentParser:
    """Returns the parser of what every command takes, anywhere on its line; the other words are left to the command."""
    parser = argparse.ArgumentParser("modicum", "modicum COMMAND ...", add_help=False, allow_abbrev=False)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--debug", action="store_true")
    return parser


def _tell_stop(what: str, stop: BaseException) -> None:
    """Prints how a command was stopped, and how to go on; further processes of a training leave that to the first."""
    if "lightning" not in sys.modules or verbs.is_first_process():
        print("; ".join([what, *getattr(stop, "__notes__", [])]), file=sys.stderr)


def overview() -> str:
    """Returns the help of the whole program."""
    lines = [f"  {name:<10} {_first_line(verb)}" for name, verb in VERBS.items()]
    return "\n".join(
        [
            "usage: modicum COMMAND ...   (modicum COMMAND --help tells more)\n",
            "Networks that spend only the compute an input needs, and look where it matters.\n",
            "commands:",
            *lines,
            COMMON,
            f"example: {EXAMPLES['train'][0]}",
        ]
    )


def _run_verb(name: str, words: list[str], *, as_json: bool) -> int:
    if name not in VERBS:
        from modicum.recipes import closest

        raise RecipeError(f"command {name!r} is not known: {closest(name, VERBS)}")
    from modicum import flags, presenting

    help_text = f"{_first_line(VERBS[name])}\n\nexamples:\n  " + "\n  ".join(EXAMPLES[name]) + "\n" + COMMON
    parser = flags.verb_parser(name, help_text)
    if name == "train":
        run = _train(**flags.parse_training(parser, words, COMMON))
        if verbs.is_first_process():
            result = presenting.with_files(verbs.figures(run.path), {"report": run.report})
            presenting.present(result, as_json=as_json)
        return 0
    if name == "bench":
        parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    values = flags.parse_verb(parser, VERBS[name], words, options=_options_of(name, words))
    check = values.pop("check", False)
    if name == "predict":
        values["inputs"] = list(_read_stdin_list(values["inputs"]))
    result = VERBS[name](**values)
    if name == "predict":
        return 0 if presenting.present_predictions(result, as_json=as_json) else 1
    listed: dict[str, Callable[[Any], presenting.Printed]] = {
        "list": presenting.systems_listed,
        "bench": presenting.rows_listed,
        "export": presenting.place_told,
        "adopt": presenting.place_told,
    }
    printed = listed[name](result) if name in listed else presenting.with_files(result, _written(name, values))
    presenting.present(printed, as_json=as_json)
    return 1 if check and any(row.holds is False for row in result) else 0


def _train(system: AnySystem, recipe: Recipe, out: Path, *, resume: bool) -> RunFolder:
    """Trains; if that is stopped, the exception carries the command that resumes it."""
    try:
        with terminable(), _plain_warnings():
            return verbs.train_recipe(system, recipe, out, resume=resume)
    except (KeyboardInterrupt, Terminated) as stop:
        is_begun = RunFolder(out).state.is_file()
        command = shlex.join(["modicum", "train", system.id, "--resume", "--out", str(out)])
        stop.add_note(f"go on with: {command}" if is_begun else "nothing had been written yet")
        raise


def _options_of(name: str, words: Sequence[str]) -> Callable[..., object] | None:
    """Returns the function of the run's task whose signature the flags follow; None where no run is named.

    The words are searched for the run, the first that is one, or else a system that predicts without training, or else
    the first of all. No parser can do this: options may stand before the run, and only the run says which of them take
    a value.
    """
    if name not in verbs.OF_RUNS:
        return None
    untrained = [word for word in words if name == "predict" and verbs.open_untrained(word) is not None]
    named = [*filter(_is_run, words), *untrained, *(word for word in words[:1] if not word.startswith("-"))]
    return verbs.options_of(name, named[0]) if named else None


def _is_run(word: str) -> bool:
    try:
        return RunFolder(Path(word)).state.is_file()
    except OSError:  # no file can have such a name: a long question, for one
        return False


def _written(name: str, values: Mapping[str, Any]) -> dict[str, Path]:
    """Lists the files that a verb wrote beside what it prints; predictions and exports name theirs themselves."""
    if name == "report":
        return {"report": RunFolder(Path(values["run"])).report}
    place = values.get({"compare": "out", "data": "preview"}.get(name, ""))
    return {} if place is None else {"picture" if name == "compare" else "preview": Path(place)}


def _let_names_through() -> None:
    """Lets names hold what no encoding has: it is escaped on the way out, and on the way in kept as Python does."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")


def _show_log() -> None:
    """Sends log messages to standard error, unchanged but for what would move a terminal's cursor."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_show_names)
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[handler])


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Shows modicum's own warnings as lines for users: no place in the code, and names that move no cursor."""
    usual = warnings.formatwarning

    def line(message: Warning | str, category: type[Warning], *place: Any) -> str:  # noqa: ANN401  as in the original
        if not category.__module__.startswith("modicum."):
            return usual(message, category, *place)
        return f"warning: {printable(str(message), keep=_LINE_ENDS)}\n"

    warnings.formatwarning = line  # type: ignore[assignment]  # takes what the original takes
    try:
        yield
    finally:
        warnings.formatwarning = usual


def _show_names(record: logging.LogRecord) -> bool:
    record.msg, record.args = printable(record.getMessage(), keep=_LINE_ENDS), ()
    return True


def _told(error: Exception) -> str:
    """Returns the message of an error; those of the system name the file first, as all others do."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _read_stdin_list(inputs: Iterable[str | Path]) -> Iterable[str | Path]:
    """Replaces ``-`` by the paths on standard input, one per line, whatever system ended the lines."""
    for entry in inputs:
        if str(entry) == "-":
            # Not `str.splitlines`: texts may have U+2028 in them. Some editors put a byte order mark first.
            lines = (line.rstrip("\r\n").removeprefix("\ufeff") for line in sys.stdin)
            yield from (line for line in lines if line)
        else:
            yield entry


def _first_line(verb: Callable[..., Any]) -> str:
    return (verb.__doc__ or "").split("\n")[0]


if __name__ == "__main__":
    sys.exit(main())
