"""Strict reader of IDX files (the format of MNIST), plain or gzip'd."""

from __future__ import annotations

import gzip
import math
import zlib
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hilab.errors import DataFileError

DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MOST_DIMENSIONS = 4
MOST_BYTES = 1 << 30
GZIP_MAGIC = b"\x1f\x8b"


def read_idx(path: str | Path, *, most_bytes: int = MOST_BYTES) -> NDArray[np.generic]:
    """The array in an IDX file, in native byte order.

    Refuses with DataFileError, one sentence: no such file, not IDX, a size above most_bytes (checked before
    anything is allocated), too few bytes, bytes left over, damaged gzip.
    """
    file = Path(path)
    try:
        with file.open("rb") as raw:
            packed = raw.read(2) == GZIP_MAGIC
        with gzip.open(file, "rb") if packed else file.open("rb") as stream:
            return _read(file, stream, most_bytes)
    except FileNotFoundError:
        raise DataFileError(f"{file}: no such file; fetch it or name another folder") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as fault:
        raise DataFileError(
            f"{file}: the gzip data is damaged or cut short ({fault}); fetch the file again"
        ) from None
    except OSError as fault:
        raise DataFileError(f"{file}: cannot be read ({fault.strerror or fault})") from None


def _read(file: Path, stream: gzip.GzipFile | BufferedReader, most_bytes: int) -> NDArray[np.generic]:
    head = stream.read(4)
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in DTYPES or not 1 <= head[3] <= MOST_DIMENSIONS:
        raise DataFileError(f"{file}: not an IDX file (it begins with {head.hex(' ') or 'nothing'})")
    dtype, dimensions = np.dtype(DTYPES[head[2]]), head[3]
    sizes_raw = stream.read(4 * dimensions)
    if len(sizes_raw) < 4 * dimensions:
        raise DataFileError(f"{file}: the header is cut short; fetch the file again")
    shape = tuple(int(size) for size in np.frombuffer(sizes_raw, ">u4"))
    size = math.prod(shape) * dtype.itemsize
    if size > most_bytes:
        raise DataFileError(
            f"{file}: the header claims {size} bytes, more than the {most_bytes} that are allowed"
        )
    data = stream.read(size + 1)
    if len(data) < size:
        raise DataFileError(
            f"{file}: {size} bytes of data expected, {len(data)} found; the file is cut short"
        )
    if len(data) > size:
        raise DataFileError(f"{file}: more data than the {size} bytes that the header states")
    return np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


@dataclass(frozen=True)
class ImageSet:
    """Images (N, pixels) float32 from 0 to 1 and labels (N,) int64."""

    images: NDArray[np.float32]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> ImageSet:
        """The first `count` items; DataFileError if there are fewer."""
        if count > len(self):
            raise DataFileError(f"{count} images were asked for, the data set has {len(self)}")
        return ImageSet(self.images[:count], self.labels[:count])


@dataclass(frozen=True)
class Mnist:
    """Training and test images."""

    train: ImageSet
    test: ImageSet


def load_mnist(
    folder: str | Path | None = None, *, train_images: int | None = None, test_images: int | None = None
) -> Mnist:
    """MNIST from its four IDX files (.gz or not) in `folder`, by default the data folder's `mnist`.

    train_images, test_images: keep only the first so many. Raises DataFileError.
    """
    place = Path(folder) if folder is not None else _default_folder()
    return Mnist(_image_set(place, "train", train_images), _image_set(place, "t10k", test_images))


def _default_folder() -> Path:
    from hilab.paths import data_dir

    return data_dir() / "mnist"


def _image_set(folder: Path, part: str, count: int | None) -> ImageSet:
    images_file, labels_file = (
        _find(folder, f"{part}-images-idx3-ubyte"),
        _find(folder, f"{part}-labels-idx1-ubyte"),
    )
    images, labels = read_idx(images_file), read_idx(labels_file)
    if images.ndim != 3 or images.shape[1:] != (28, 28) or images.dtype != np.uint8:
        raise DataFileError(
            f"{images_file}: holds {images.dtype} of shape {images.shape}, not 28 x 28 byte images"
        )
    if labels.ndim != 1 or labels.dtype != np.uint8 or (labels.size and int(labels.max()) > 9):
        raise DataFileError(f"{labels_file}: does not hold one digit from 0 to 9 for each image")
    if len(images) != len(labels):
        raise DataFileError(
            f"{images_file}: {len(images)} images, but {len(labels)} labels in {labels_file.name}"
        )
    kept = len(images) if count is None else count
    if kept > len(images):
        raise DataFileError(f"{images_file}: {kept} images were asked for, it has {len(images)}")
    flat = images[:kept].reshape(kept, -1).astype(np.float32) / np.float32(255)
    return ImageSet(flat, labels[:kept].astype(np.int64))


def _find(folder: Path, name: str) -> Path:
    packed = folder / f"{name}.gz"
    return packed if packed.exists() else folder / name
