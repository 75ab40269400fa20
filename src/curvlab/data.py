"""Images in [0, 1] with labels: MNIST, Fashion-MNIST, CIFAR-10, scikit-learn's digits, two moons.

The image sets live under `$CURVLAB_DATA` (default: `data/`) in torchvision's layout. Every file is
compared with its published MD5 before it is believed, and reading writes nothing, so a read-only
folder serves. A folder that does not exist yet is downloaded to one side and moved in whole.
"""

import gzip
import hashlib
import math
import os
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

__all__ = ["DataError", "Examples", "load", "two_moons"]

VALIDATION = 5_000
SPLITS = ("train", "validation", "test")
IMAGE_SETS = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "cifar10": "CIFAR10"}
NAMES = (*IMAGE_SETS, "digits")


class DataError(RuntimeError):
    """A data folder that cannot be used as it is."""


class Examples(NamedTuple):
    """Images `(N, C, H, W)` (or points `(N, 2)`) in [0, 1], float32, and int64 labels `(N,)`."""

    x: Tensor
    y: Tensor


def load(name: str, split: str, *, root: str | Path | None = None) -> Examples:
    """The examples of one split: `train`, `validation` or `test`.

    The validation split is the last 5,000 training images by position, so it depends on no seed;
    for `digits` (1,797 images of 8 x 8) it is the second to last 300 of one fixed permutation, and
    the test split the last 300.

    >>> x, y = load("digits", "test")
    >>> x.shape, y.shape, float(x.min()), float(x.max())
    (torch.Size([300, 1, 8, 8]), torch.Size([300]), 0.0, 1.0)
    """
    if name not in NAMES:
        raise ValueError(f"requires a data set among {', '.join(NAMES)}. Found {name!r}.")
    if split not in SPLITS:
        raise ValueError(f"requires a split among {', '.join(SPLITS)}. Found {split!r}.")
    if name == "digits":
        return digits(split)
    folder = Path(root or os.environ.get("CURVLAB_DATA") or "data")
    images, labels = stored(name, split != "test", folder)
    if split == "train":
        images, labels = images[:-VALIDATION], labels[:-VALIDATION]
    elif split == "validation":
        images, labels = images[-VALIDATION:], labels[-VALIDATION:]
    return Examples(images.float() / 255, labels.long())


def two_moons(
    count: int, noise: float = 0.1, generator: torch.Generator | None = None
) -> Examples:
    """Two interleaved half circles with Gaussian noise, scaled by 1/4 into the unit square.

    >>> x, y = two_moons(100, generator=torch.Generator().manual_seed(0))
    >>> x.shape, y.bincount().tolist()
    (torch.Size([100, 2]), [50, 50])
    """
    if count < 2 or count % 2 or not noise >= 0:
        raise ValueError(f"requires an even count and noise >= 0. Found {count} and {noise}.")
    angle = math.pi * torch.rand(2, count // 2, generator=generator)
    upper = torch.stack([angle[0].cos(), angle[0].sin()], dim=1)
    lower = torch.stack([1 - angle[1].cos(), 0.5 - angle[1].sin()], dim=1)
    points = torch.cat([upper, lower]) + noise * torch.randn(count, 2, generator=generator)
    x = (points - torch.tensor([0.5, 0.25])) / 4 + 0.5
    y = torch.arange(2).repeat_interleave(count // 2)
    order = torch.randperm(count, generator=generator)
    return Examples(x.clamp(0, 1)[order], y[order])


@lru_cache(maxsize=1)
def all_digits() -> Examples:
    from sklearn.datasets import load_digits

    found = load_digits()
    order = torch.randperm(len(found.target), generator=torch.Generator().manual_seed(0))
    x = torch.tensor(found.images, dtype=torch.float32).unsqueeze(1) / 16
    return Examples(x[order], torch.tensor(found.target, dtype=torch.int64)[order])


def digits(split: str) -> Examples:
    x, y = all_digits()
    part = {"train": slice(0, -600), "validation": slice(-600, -300), "test": slice(-300, None)}
    return Examples(x[part[split]], y[part[split]])


@lru_cache(maxsize=4)
def stored(name: str, training: bool, root: Path) -> tuple[Tensor, Tensor]:
    """Bytes as stored: images `(N, C, H, W)`, labels `(N,)`. Shared: the caller must not write."""
    import torchvision.datasets

    dataset = getattr(torchvision.datasets, IMAGE_SETS[name])
    if name == "cifar10":
        return stored_cifar(dataset, training, root)
    files = dict(dataset.resources)
    folder = root / dataset.__name__ / "raw"
    require_complete(dataset, root, folder, list(files))
    prefix = "train" if training else "t10k"
    images, labels = (
        read_idx(folder / f"{prefix}-{kind}-ubyte.gz", files[f"{prefix}-{kind}-ubyte.gz"])
        for kind in ("images-idx3", "labels-idx1")
    )
    return images.unsqueeze(1), labels


def stored_cifar(dataset: Any, training: bool, root: Path) -> tuple[Tensor, Tensor]:
    folder = root / dataset.base_folder
    files = dict(dataset.train_list + dataset.test_list)
    require_complete(dataset, root, folder, list(files))
    for file, digest in files.items():
        checked_bytes(folder / file, digest)
    found = dataset(root, train=training)
    return torch.tensor(found.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(found.targets)


def require_complete(dataset: Any, root: Path, folder: Path, files: list[str]) -> None:
    missing = [file for file in files if not (folder / file).is_file()]
    if not missing:
        return
    if len(missing) < len(files) or (folder.is_dir() and any(folder.iterdir())):
        raise DataError(
            f"requires every file of {dataset.__name__}. Found {folder} without "
            f"{', '.join(missing)}. Complete it, or delete it so that it is downloaded again."
        )
    download(dataset, root, folder)


def download(dataset: Any, root: Path, folder: Path) -> None:
    """Downloads by torchvision to one side, then moves the folder in whole."""
    made = not root.exists()
    aside: Path | None = None
    try:
        root.mkdir(exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=".download-", dir=root))
        dataset(aside, download=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        (aside / folder.relative_to(root)).replace(folder)
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"requires {dataset.__name__} in {folder}, and it could not be downloaded there "
            f"({error}). Copy the files there, or set CURVLAB_DATA to a folder that holds "
            f"{folder.relative_to(root)}, or to one that can be written with a network at hand."
        ) from error
    finally:
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)
        if made and root.is_dir() and not any(root.iterdir()):
            root.rmdir()


def checked_bytes(path: Path, digest: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"requires a readable file. Found {path}: {error}.") from error
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != digest:
        raise DataError(
            f"requires MD5 {digest} of {path}. Found {found} ({len(content)} bytes): the file is "
            "corrupt or cut short. Delete its folder so that it is downloaded again."
        )
    return content


def read_idx(path: Path, digest: str) -> Tensor:
    """The array of a gzipped IDX file: a magic number whose last byte is the number of dimensions,
    the dimensions as big-endian 32-bit integers, then the bytes."""
    content = gzip.decompress(checked_bytes(path, digest))
    shape = np.frombuffer(content, ">i4", count=content[3], offset=4)
    array = np.frombuffer(content, np.uint8, offset=4 + 4 * content[3])
    return torch.from_numpy(array.reshape(tuple(shape)).copy())
