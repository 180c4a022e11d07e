"""scikit-learn's 1,797 handwritten digits, 8 x 8, grey levels 0 to 16 (UCI; no download)."""

import hashlib
import zlib
from pathlib import Path

import torch

from minified.data.dataset import Raw
from minified.foundations.errors import DataError

# Of the 1,797 x 64 grey levels followed by the targets, all as float64. A release of scikit-learn
# that ships other digits would differ.
SHA256 = "f19a7d92591ca0a1ffc65ec172e8149afdff995e0d2c4cb0afd151f38471ff90"


def read(name: str, root: Path) -> Raw:
    """The digits as scikit-learn ships them; `root` is not used.

    Raises:
        DataError: scikit-learn's copy is truncated or altered.
    """
    from sklearn import datasets
    from sklearn.datasets import load_digits

    shipped = Path(datasets.__file__).parent / "data" / "digits.csv.gz"
    if shipped.exists() and not shipped.is_file():  # a pipe would be waited for
        raise DataError(f"data set {name}: {shipped} is not a file; reinstall scikit-learn")
    try:
        images, targets = (array.astype("float64") for array in load_digits(return_X_y=True))
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(
            f"data set {name}: scikit-learn's copy cannot be read ({error}); reinstall scikit-learn"
        ) from None
    checksum = hashlib.sha256(images.tobytes() + targets.tobytes()).hexdigest()
    if checksum != SHA256:
        raise DataError(
            f"data set {name}: scikit-learn's copy has SHA-256 {checksum}, not {SHA256}: it is"
            " truncated or altered; reinstall scikit-learn as requirements.lock pins it"
        )
    return Raw(
        torch.from_numpy(images).float().reshape(-1, 1, 8, 8) / 16,
        torch.from_numpy(targets).long(),
        classes=10,
        checksums={"digits": checksum},
    )
