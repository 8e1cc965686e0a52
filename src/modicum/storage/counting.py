"""Numbers of things in messages, with the noun that agrees."""


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Returns a number with its noun, in the singular for 1.

    Args:
        number: How many.
        noun: The singular.
        plural: The plural; None for the singular with an s.

    Example:
        >>> counted(1, "question"), counted(1200, "question"), counted(0, "kind of fault", "kinds of faults")
        ('1 question', '1,200 questions', '0 kinds of faults')
    """
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"
