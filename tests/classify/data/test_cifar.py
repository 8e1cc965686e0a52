import hashlib
import io
import json
import pickle
import struct
import tarfile

import numpy as np
import pytest
from PIL import Image

from modicum.classify.data.cifar import CifarImages
from modicum.storage.errors import DataError

TEN = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
FILES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
COUNT = 4


def images_of(file):
    """(4, 32, 32, 3) random pixels, the same for the same file name."""
    seed = sum(file.removesuffix(".bin").encode())
    return np.random.default_rng(seed).integers(0, 256, (COUNT, 32, 32, 3), dtype=np.uint8)


def rows_of(file):
    return images_of(file).transpose(0, 3, 1, 2).reshape(COUNT, 3072)


def labels_of(file):
    return [(len(file) + 3 * number) % 10 for number in range(COUNT)]


def short(text):
    return b"U" + bytes([len(text)]) + text.encode()


def python2_list(items):
    return b"](" + b"".join(items) + b"e"


def python2_batch(file, label_key="labels"):
    """A batch in the opcodes of Python 2's cPickle at protocol 2, as the published files have them."""
    raw = rows_of(file).tobytes()
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85U\x01b\x87Rq\x03"
        + b"(K\x01K"
        + bytes([COUNT])
        + b"M\x00\x0c\x86cnumpy\ndtype\nq\x04U\x02u1K\x00K\x01\x87Rq\x05"
        + b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        + b"\x89T"
        + struct.pack("<i", len(raw))
        + raw
        + b"tb"
    )
    labels = python2_list(b"K" + bytes([label]) for label in labels_of(file))
    names = python2_list(short(f"leptodactylus_pentadactylus_s_{number:06d}.png") for number in range(COUNT))
    return (
        b"\x80\x02}q\x06("
        + b"".join((short("batch_label"), short("training batch 1 of 5"), short(label_key), labels))
        + b"".join((short("data"), array, short("filenames"), names))
        + b"u."
    )


def python3_batch(file, label_key="labels"):
    return pickle.dumps({label_key: labels_of(file), "data": rows_of(file)}, protocol=2)


def binary_batch(file, coarse=False):
    prefix = [np.full((COUNT, 1), 99, np.uint8)] if coarse else []
    return np.hstack([*prefix, np.array(labels_of(file), np.uint8)[:, None], rows_of(file)]).tobytes()


def write_python10(root, batch=python2_batch):
    root.mkdir(exist_ok=True)
    for file in FILES:
        (root / file).write_bytes(batch(file))
    meta = b"\x80\x02}(" + short("num_cases_per_batch") + b"M\x10'" + short("label_names")
    (root / "batches.meta").write_bytes(meta + python2_list(map(short, TEN)) + b"u.")
    return root


def write_binary10(root):
    root.mkdir(exist_ok=True)
    for file in FILES:
        (root / f"{file}.bin").write_bytes(binary_batch(file))
    (root / "batches.meta.txt").write_text("\n".join(TEN) + "\n\n")
    return root


def write_packed(root):
    root.mkdir(exist_ok=True)
    sums = {}
    for name, files in (("train_1", FILES[:2]), ("train_2", FILES[2:5]), ("test_first1000", FILES[5:])):
        with tarfile.open(root / f"{name}.tar", "w") as tar:
            for number, file in enumerate(files):
                stream = io.BytesIO()
                Image.fromarray(images_of(file).reshape(-1, 32, 3)).save(stream, "WEBP", lossless=True, exact=True)
                info = tarfile.TarInfo(f"{number:02d}.webp")
                info.size = stream.tell()
                stream.seek(0)
                tar.addfile(info, stream)
        sums[name] = hashlib.sha256(b"".join(images_of(file).tobytes() for file in files)).hexdigest()
    train = np.array([label for file in FILES[:5] for label in labels_of(file)], np.uint8)
    np.savez(root / "labels.npz", train=train, test_first1000=np.array(labels_of("test_batch"), np.uint8))
    (root / "meta.json").write_text(json.dumps({"classes": TEN, "sha256_of_raw_uint8_NHWC": sums}))
    return root


WRITERS = {
    "python2": write_python10,
    "python3": lambda root: write_python10(root, python3_batch),
    "binary": write_binary10,
    "packed": write_packed,
}


@pytest.mark.parametrize("form", WRITERS)
def test_every_form_of_cifar10_gives_the_same_images(tmp_path, form):
    source = CifarImages(WRITERS[form](tmp_path))
    assert source.classes == tuple(TEN)
    assert [record.label for record in source.records] == [label for file in FILES for label in labels_of(file)]
    expected = np.concatenate([images_of(file) for file in FILES])
    np.testing.assert_array_equal([source.pixels(index) for index in range(len(source.records))], expected)


@pytest.mark.parametrize("form", WRITERS)
def test_files_say_the_split(tmp_path, form):
    records = CifarImages(WRITERS[form](tmp_path)).records
    assert (records[19].id, records[19].split) == ("train/00019", "train")
    assert (records[20].id, records[20].split) == ("test/00000", "test")


@pytest.mark.parametrize("batch", [python2_batch, python3_batch])
def test_cifar100_python_files_have_fine_labels(tmp_path, batch):
    for file in ("train", "test"):
        (tmp_path / file).write_bytes(batch(file, "fine_labels"))
    (tmp_path / "meta").write_bytes(pickle.dumps({"fine_label_names": TEN, "coarse_label_names": ["x"]}, 2))
    source = CifarImages(tmp_path)
    assert [record.label for record in source.records] == labels_of("train") + labels_of("test")
    np.testing.assert_array_equal(source.pixels(3), images_of("train")[3])


def test_cifar100_binary_files_have_fine_labels(tmp_path):
    for file in ("train", "test"):
        (tmp_path / f"{file}.bin").write_bytes(binary_batch(file, coarse=True))
    (tmp_path / "fine_label_names.txt").write_text("\n".join(TEN))
    source = CifarImages(tmp_path)
    assert [record.label for record in source.records] == labels_of("train") + labels_of("test")
    np.testing.assert_array_equal(source.pixels(7), images_of("test")[3])


def test_parent_of_the_original_folder_will_do(tmp_path):
    write_python10(tmp_path / "cifar-10-batches-py")
    assert len(CifarImages(tmp_path).records) == 24


def test_equal_pixels_have_equal_digests(tmp_path):
    source = CifarImages(write_binary10(tmp_path))
    assert source.digest(0) == source.digest(0) != source.digest(1)


@pytest.mark.parametrize(
    ("form", "file"),
    [
        ("python2", "data_batch_3"),
        ("python2", "batches.meta"),
        ("python3", "test_batch"),
        ("binary", "data_batch_2.bin"),
        ("packed", "train_2.tar"),
        ("packed", "labels.npz"),
        ("packed", "meta.json"),
    ],
)
def test_truncated_file_is_named(tmp_path, form, file):
    path = WRITERS[form](tmp_path) / file
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 3])
    with pytest.raises(DataError, match=file):
        CifarImages(tmp_path)


@pytest.mark.parametrize(
    ("form", "file"), [("python2", "data_batch_3"), ("python2", "data_batch_1"), ("binary", "test_batch.bin")]
)
def test_missing_file_is_named(tmp_path, form, file):
    (WRITERS[form](tmp_path) / file).unlink()
    with pytest.raises(DataError, match=f"{file} is missing"):
        CifarImages(tmp_path)


def test_changed_pixels_of_the_packed_form_are_noticed(tmp_path):
    meta = json.loads((write_packed(tmp_path) / "meta.json").read_text())
    meta["sha256_of_raw_uint8_NHWC"]["train_2"] = "0" * 64
    (tmp_path / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(DataError, match=r"train_2\.tar is damaged: its pixels do not have the SHA-256"):
        CifarImages(tmp_path)


def test_label_beyond_the_classes_is_refused(tmp_path):
    (write_binary10(tmp_path) / "batches.meta.txt").write_text("airplane\nautomobile\n")
    with pytest.raises(DataError, match=r"labels must lie in 0\.\.1"):
        CifarImages(tmp_path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([1, 2], "not a pickled array"),
        (np.zeros((2, 3072), np.float32), "does not hold unsigned bytes"),
        (np.zeros((2, 100), np.uint8), r"shape \(2, 100\)"),
    ],
)
def test_pickle_of_something_else_is_refused(tmp_path, data, message):
    write_python10(tmp_path)
    (tmp_path / "data_batch_1").write_bytes(pickle.dumps({"data": data, "labels": [0, 1]}, 2))
    with pytest.raises(DataError, match=f"data_batch_1 .*{message}"):
        CifarImages(tmp_path)


def test_folder_without_cifar_is_explained(tmp_path):
    with pytest.raises(DataError, match="holds no CIFAR files: expected data_batch_1"):
        CifarImages(tmp_path)


@pytest.mark.data
def test_real_cifar10_is_bit_exact(real_data):
    source = CifarImages(real_data / "cifar10")
    meta = json.loads((real_data / "cifar10" / "meta.json").read_text())
    assert [record.label for record in source.records[:5]] == [6, 9, 9, 4, 1]
    assert source.classes == tuple(meta["classes"])
    fifth = np.stack([source.pixels(index) for index in range(40_000, 50_000)])
    assert hashlib.sha256(fifth.tobytes()).hexdigest() == meta["sha256_of_raw_uint8_NHWC"]["train_5"]
    assert [record.split for record in source.records].count("test") == 1000
