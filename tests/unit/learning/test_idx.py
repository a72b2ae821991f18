"""The strict IDX reader: good files, every kind of bad one, and MNIST itself."""

import gzip
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hilab.errors import DataFileError
from hilab.learning.idx import load_mnist, read_idx


def idx(array: np.ndarray, code: int) -> bytes:
    return bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


IMAGES = np.arange(3 * 28 * 28, dtype=np.uint8).reshape(3, 28, 28)
LABELS = np.array([7, 0, 9], dtype=np.uint8)


def write_set(folder: Path, part: str, images: bytes, labels: bytes) -> None:
    (folder / f"{part}-images-idx3-ubyte").write_bytes(images)
    (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))


@pytest.mark.parametrize(
    ("dtype", "code"),
    [(">u1", 0x08), (">i1", 0x09), (">i2", 0x0B), (">i4", 0x0C), (">f4", 0x0D), (">f8", 0x0E)],
)
@pytest.mark.parametrize("packed", [False, True])
def test_every_dtype_plain_and_packed(tmp_path: Path, dtype: str, code: int, packed: bool) -> None:
    array = np.arange(-6, 6).reshape(3, 4).astype(dtype)
    data = idx(array, code)
    file = tmp_path / "file"
    file.write_bytes(gzip.compress(data) if packed else data)
    found = read_idx(file)
    np.testing.assert_array_equal(found, array)
    assert found.dtype.isnative


GOOD = idx(IMAGES, 0x08)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not an IDX file"),
        (b"\0\0", "not an IDX file"),
        (b"\x89PNG\r\n\x1a\n" * 9, "not an IDX file"),
        (b"\0\0\x07\x01" + GOOD[4:], "not an IDX file"),
        (b"\0\0\x08\0", "not an IDX file"),
        (b"\0\0\x08\x09" + GOOD[4:], "not an IDX file"),
        (GOOD[:9], "header is cut short"),
        (GOOD[:-1], "cut short"),
        (GOOD + b"\0", "more data"),
        (b"\0\0\x08\x03" + b"\xff" * 12, "claims"),
        (b"\0\0\x0e\x01" + b"\xff\xff\xff\xff", "claims"),
        (gzip.compress(GOOD)[:-9], "gzip data is damaged"),
        (gzip.compress(GOOD)[:60] + b"\0\0\0\0" + gzip.compress(GOOD)[64:], "gzip data is damaged"),
        (gzip.compress(GOOD) + b"rubbish", "gzip data is damaged"),
        (gzip.compress(b"\0" * 10_000_000), "not an IDX file"),
    ],
)
def test_bad_files_are_refused_with_one_sentence(tmp_path: Path, data: bytes, words: str) -> None:
    file = tmp_path / "bad.idx"
    file.write_bytes(data)
    with pytest.raises(DataFileError, match=words) as refused:
        read_idx(file)
    assert str(refused.value).startswith(str(file))
    assert "\n" not in str(refused.value)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match="no such file"):
        read_idx(tmp_path / "none")
    with pytest.raises(DataFileError, match="cannot be read"):
        read_idx(tmp_path)


def test_set_of_images_and_labels(tmp_path: Path) -> None:
    for part in ("train", "t10k"):
        write_set(tmp_path, part, idx(IMAGES, 8), idx(LABELS, 8))
    data = load_mnist(tmp_path, train_images=2)
    assert data.train.images.shape == (2, 784)
    assert data.train.images.dtype == np.float32
    assert data.test.labels.tolist() == [7, 0, 9]
    assert data.test.labels.dtype == np.int64
    np.testing.assert_array_equal(data.test.images, IMAGES.reshape(3, 784) / np.float32(255))
    with pytest.raises(DataFileError, match="were asked for"):
        data.test.first(4)


@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [
        (IMAGES[:, :27], LABELS, "28 x 28"),
        (IMAGES, LABELS[:2], "2 labels"),
        (IMAGES, np.array([1, 2, 10], dtype=np.uint8), "digit"),
    ],
)
def test_sets_that_do_not_fit_are_refused(
    tmp_path: Path, images: np.ndarray, labels: np.ndarray, words: str
) -> None:
    write_set(tmp_path, "train", idx(images, 8), idx(labels, 8))
    with pytest.raises(DataFileError, match=words):
        load_mnist(tmp_path)


def test_more_images_than_there_are(tmp_path: Path) -> None:
    write_set(tmp_path, "train", idx(IMAGES, 8), idx(LABELS, 8))
    with pytest.raises(DataFileError, match="4 images were asked for"):
        load_mnist(tmp_path, train_images=4)


def test_mnist_that_comes_with_hilab() -> None:
    data = load_mnist(train_images=1000)
    assert len(data.train) == 1000
    assert len(data.test) == 10_000
    assert np.bincount(data.test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert data.train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert data.test.images.min() == 0.0
    assert data.test.images.max() == 1.0


def test_reading_data_needs_no_torch() -> None:
    code = (
        "import sys, hilab.learning.idx, hilab.learning.surrogate, hilab.learning.arms; "
        "import hilab.learning.assignment, hilab.learning.neurons; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
