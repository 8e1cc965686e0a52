"""How much zooming in on an image may cost: a price, or a limit of pixels, milliseconds or windows (needs no torch)."""

from dataclasses import dataclass, fields

from modicum.adaptive.knobs import BudgetError
from modicum.detect.zoom.planning import MAX_WINDOWS, Budget, TimeModel


@dataclass(frozen=True)
class ZoomLimit:
    """States how far to zoom in, in exactly one of four ways.

    Attributes:
        price: Lambda, at least 0: how much gain a window must promise, in objects per image of pixels, to be read.
        max_pixels: Pixels that both detectors may read, overlaps counted each time; a share of the image's if at most
            1. Never more than the image and the coarse pass.
        max_ms: Predicted milliseconds of one image, decoding excluded. Where the coarse pass alone takes longer, no
            window is read.
        max_windows: Windows; the whole image is not among them.

    Raises:
        BudgetError: If none or several are given, or one is negative or no number.
    """

    price: float | None = None
    max_pixels: float | None = None
    max_ms: float | None = None
    max_windows: int | None = None

    def __post_init__(self) -> None:
        given = {each.name: getattr(self, each.name) for each in fields(self)}
        given = {name: value for name, value in given.items() if value is not None}
        if len(given) != 1:
            stated = " and ".join(given) or "nothing"
            raise BudgetError(f"zooming needs exactly one of price, max_pixels, max_ms and max_windows, got {stated}")
        for name, value in given.items():
            if not 0 <= value < float("inf"):  # so that NaN is refused, too
                raise BudgetError(f"{name} must be a finite number of at least 0, got {value}")

    def __str__(self) -> str:
        if self.price is not None:
            return f"price {self.price:g}"
        if self.max_windows is not None:
            return f"at most {self.max_windows} window{'' if self.max_windows == 1 else 's'}"
        if self.max_ms is not None:
            return f"at most {self.max_ms:g} ms"
        assert self.max_pixels is not None
        return f"at most {self.max_pixels:.0%} of the pixels" if self.max_pixels <= 1 else f"{self.max_pixels:g} pixels"

    @property
    def needs_time(self) -> bool:
        """Whether a `TimeModel` is needed."""
        return self.max_ms is not None

    def budget(self, pixels: int, coarse_pixels: int, time: TimeModel | None = None) -> Budget:
        """Returns what the fine detector may take in an image.

        Args:
            pixels: Of the image.
            coarse_pixels: That the coarse pass reads.
            time: Predicts milliseconds of this image; needed for ``max_ms``.

        Raises:
            BudgetError: If the coarse pass alone exceeds ``max_pixels``, or ``max_ms`` has no ``time``.
        """
        if self.max_windows is not None:
            return Budget(max_windows=self.max_windows)
        if self.max_ms is not None:
            return Budget(max_ms=self.max_ms, time=time)
        if self.max_pixels is None:
            return Budget(MAX_WINDOWS)
        allowed = self.max_pixels * pixels if self.max_pixels <= 1 else self.max_pixels
        if allowed < coarse_pixels:
            raise BudgetError(
                f"max_pixels allows {allowed:,.0f} of the {pixels:,} pixels of an image, and the coarse pass reads "
                f"{coarse_pixels:,}: allow at least {coarse_pixels / pixels:.3g}"
            )
        return Budget(max_pixels=allowed - coarse_pixels)
