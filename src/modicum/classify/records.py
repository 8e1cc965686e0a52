"""Curves and evaluations as JSON, and back, so that runs can be compared long after their networks are gone.

JSON has no word for NaN and infinity: they are written as the strings ``"nan"``, ``"inf"`` and ``"-inf"``.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from modicum.adaptive.calibration import Calibration
from modicum.adaptive.costs import Unit
from modicum.adaptive.curve import Curve, Point
from modicum.adaptive.efficiency import Efficiency
from modicum.classify.results import Detail, Evaluation
from modicum.storage.errors import DataError
from modicum.storage.files import JSON
from modicum.storage.sealing import read_sealed

FORMAT = 1  # to be raised when a reader of the old form would misread the new one


def curve_to_json(curve: Curve) -> dict[str, JSON]:
    """The curve as plain JSON data; `curve_from_json` gives an equal one."""
    return _encode_fields(asdict(curve))


def curve_from_json(raw: Mapping[str, Any]) -> Curve:
    """The curve that `curve_to_json` wrote.

    Raises:
        DataError: If something is missing, or of another kind.
    """
    try:
        return _read_curve(raw)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"this is not a curve that modicum wrote: {_describe(error)}") from error


def evaluation_to_json(evaluation: Evaluation) -> dict[str, JSON]:
    """The evaluation as plain JSON data, without its example images."""
    return {
        "format": FORMAT,
        "system": evaluation.system,
        "data": evaluation.data,
        "num_images": evaluation.num_images,
        "classes": list(evaluation.classes),
        "resolution_px": evaluation.resolution_px,
        "curve": curve_to_json(evaluation.curve),
        "curve_ms": None if evaluation.curve_ms is None else curve_to_json(evaluation.curve_ms),
        "calibration": _encode_fields(asdict(evaluation.calibration)),
        "calibrated": _encode_fields(asdict(evaluation.calibrated)),
        "efficiency": [_encode_fields(asdict(comparison)) for comparison in evaluation.efficiency],
        "details": [_detail_to_json(detail) for detail in evaluation.details],
    }


def _detail_to_json(detail: Detail) -> dict[str, JSON]:
    return {
        "title": detail.title,
        "note": detail.note,
        "columns": list(detail.columns),
        "rows": [list(row) for row in detail.rows],
    }


def evaluation_from_json(raw: Mapping[str, Any]) -> Evaluation:
    """The evaluation that `evaluation_to_json` wrote, without example images.

    Raises:
        DataError: If something is missing or of another kind, or if a newer modicum wrote it.
    """
    try:
        if raw["format"] > FORMAT:
            raise DataError(f"this evaluation has format {raw['format']}, newer than {FORMAT}: update modicum")
        return _read_evaluation(raw)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"this is not an evaluation that modicum wrote: {_describe(error)}") from error


def read_evaluation(path: str | Path) -> Evaluation:
    """The evaluation in a JSON file, such as the ``curve.json`` of a run, without example images.

    Raises:
        DataError: If the file is missing, or does not hold an evaluation.
    """
    raw = read_sealed(path, remedy="evaluate the run again")
    try:
        return evaluation_from_json(raw)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _read_evaluation(raw: Mapping[str, Any]) -> Evaluation:
    return Evaluation(
        system=str(raw["system"]),
        data=str(raw["data"]),
        num_images={str(split): int(count) for split, count in raw["num_images"].items()},
        classes=tuple(str(name) for name in raw["classes"]),
        resolution_px=int(raw["resolution_px"]),
        curve=_read_curve(raw["curve"]),
        calibration=_read_calibration(raw["calibration"]),
        calibrated=_read_point(raw["calibrated"]),
        efficiency=tuple(_read_efficiency(comparison) for comparison in raw["efficiency"]),
        cheapest=(),
        dearest=(),
        curve_ms=None if raw.get("curve_ms") is None else _read_curve(raw["curve_ms"]),
        details=tuple(
            _read_detail(detail) for detail in raw.get("details", [])
        ),  # files of the first release have none
    )


def _read_detail(raw: Mapping[str, Any]) -> Detail:
    return Detail(
        title=str(raw["title"]),
        note=str(raw["note"]),
        columns=tuple(str(name) for name in raw["columns"]),
        rows=tuple(tuple(str(cell) for cell in row) for row in raw["rows"]),
    )


def _read_curve(raw: Mapping[str, Any]) -> Curve:
    return Curve(
        unit=_read_unit(raw["unit"]),
        num_samples=int(raw["num_samples"]),
        routed=_read_points(raw["routed"]),
        random=_read_points(raw["random"]),
        static=_read_points(raw["static"]),
        oracle=None if raw["oracle"] is None else _read_point(raw["oracle"]),
        plain=_read_points(raw["plain"]),
    )


def _read_points(raw: list[Mapping[str, Any]]) -> tuple[Point, ...]:
    return tuple(_read_point(point) for point in raw)


def _read_point(raw: Mapping[str, Any]) -> Point:
    knob, shares = raw["knob"], raw["shares"]
    return Point(
        label=str(raw["label"]),
        cost=float(raw["cost"]),
        accuracy=float(raw["accuracy"]),
        low=float(raw["low"]),
        high=float(raw["high"]),
        knob=None if knob is None else float(knob),
        shares=None if shares is None else {str(name): float(share) for name, share in shares.items()},
        top5=None if raw.get("top5") is None else float(raw["top5"]),
    )


def _read_calibration(raw: Mapping[str, Any]) -> Calibration:
    return Calibration(
        target=float(raw["target"]),
        unit=_read_unit(raw["unit"]),
        knob=float(raw["knob"]),
        achieved=float(raw["achieved"]),
        plain=float(raw["plain"]),
        accuracy=float(raw["accuracy"]),
        num_samples=int(raw["num_samples"]),
        data_hash=str(raw["data_hash"]),
    )


def _read_efficiency(raw: Mapping[str, Any]) -> Efficiency:
    return Efficiency(
        batch_size=int(raw["batch_size"]),
        threads=int(raw["threads"]),
        device=str(raw["device"]),
        plain_ms=float(raw["plain_ms"]),
        routed_ms=float(raw["routed_ms"]),
        saved_in_theory=float(raw["saved_in_theory"]),
        saved_on_clock=float(raw["saved_on_clock"]),
    )


def _read_unit(raw: object) -> Unit:
    if raw == "MAC":
        return "MAC"
    if raw == "ms":
        return "ms"
    raise ValueError(f"unit must be 'MAC' or 'ms', got {raw!r}")


def _encode_fields(fields: Mapping[str, Any]) -> dict[str, JSON]:
    return {name: _encode(value) for name, value in fields.items()}


def _encode(value: Any) -> JSON:  # noqa: ANN401  whatever `asdict` yields
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, Mapping):
        return _encode_fields(value)
    if isinstance(value, list | tuple):
        return [_encode(item) for item in value]
    plain: JSON = value
    return plain


def _describe(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)
