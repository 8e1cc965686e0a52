"""Counts in sentences: one parameter, two parameters."""


def counted(count: int, noun: str) -> str:
    """Returns the count with its noun, as in "1 parameter" and "2,000 parameters"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
