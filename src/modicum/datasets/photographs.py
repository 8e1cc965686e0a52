"""Photographs inside the wheels of scikit-image and scikit-learn; nothing is downloaded."""

import importlib.util
from importlib import resources

from modicum.storage.errors import DataError, MissingExtraError


def packaged_photograph(package: str, file: str, *, extra: str) -> bytes:
    """Reads the bytes of a photograph that ships with a library.

    Not by the library's own functions, which may go to the network.

    Args:
        package: ``"skimage.data"`` or ``"sklearn.datasets.images"``.
        file: The file in it.
        extra: The extra that installs scikit-image.

    Raises:
        MissingExtraError: If the library is not installed.
        DataError: If its version lacks the file.
    """
    library = package.partition(".")[0]
    if importlib.util.find_spec(library) is None:
        raise MissingExtraError("scikit-image", extra)
    try:
        return resources.files(package).joinpath(file).read_bytes()
    except OSError as error:
        raise DataError(f"{package} does not hold {file}: reinstall {library}") from error
