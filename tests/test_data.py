"""Data sets: right numbers in the right place, and a clear error for every bad folder."""

import gzip
import hashlib
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.datasets

from curvlab import data
from curvlab.data import DataError, load, two_moons


def idx(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
    return gzip.compress(header + array.astype(np.uint8).tobytes())


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of MNIST's layout with made-up images, whose MD5 sums torchvision 'publishes'."""
    random = np.random.default_rng(0)
    sizes = {"train": 5_020, "t10k": 30}
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    resources = []
    for prefix, count in sizes.items():
        contents = {
            f"{prefix}-images-idx3-ubyte.gz": idx(random.integers(0, 256, (count, 4, 5))),
            f"{prefix}-labels-idx1-ubyte.gz": idx(np.arange(count) % 10),
        }
        for file, content in contents.items():
            (raw / file).write_bytes(content)
            resources.append((file, hashlib.md5(content).hexdigest()))
    monkeypatch.setattr(torchvision.datasets.MNIST, "resources", resources)
    data.stored.cache_clear()
    yield tmp_path
    data.stored.cache_clear()


def state(folder: Path):
    """Every path below with its bytes and modification time."""
    return {
        path: (path.read_bytes() if path.is_file() else None, path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
    }


def no_network(*args, **kwargs):
    raise OSError("no network in tests")


def test_splits_are_disjoint_and_in_order(folder):
    before = state(folder)
    train, validation, test = (load("mnist", split, root=folder) for split in data.SPLITS)
    assert train.x.shape == (20, 1, 4, 5)
    assert validation.x.shape == (5_000, 1, 4, 5)
    assert test.x.shape == (30, 1, 4, 5)
    assert validation.y.tolist() == [i % 10 for i in range(20, 5_020)]
    assert train.x.dtype == torch.float32
    assert train.y.dtype == torch.int64
    assert float(train.x.min()) >= 0
    assert float(validation.x.max()) == 1.0
    assert state(folder) == before


def test_idx_agrees_with_torchvision(folder):
    raw = folder / "MNIST" / "raw"
    for packed in list(raw.glob("*.gz")):
        packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
    reference = torchvision.datasets.MNIST(folder, train=False)
    x, y = load("mnist", "test", root=folder)
    assert torch.equal((x * 255).round().to(torch.uint8).squeeze(1), reference.data)
    assert torch.equal(y, reference.targets)


@pytest.mark.skipif(
    not Path(os.environ.get("CURVLAB_DATA", "data"), "FashionMNIST").is_dir(),
    reason="needs Fashion-MNIST under CURVLAB_DATA",
)
def test_real_images_are_there():
    data.stored.cache_clear()
    x, y = load("fashion-mnist", "test")
    assert x.shape == (10_000, 1, 28, 28)
    assert y.bincount().tolist() == [1_000] * 10


@pytest.mark.parametrize("damage", ["corrupt", "cut short", "empty"])
def test_a_damaged_file_is_refused(folder, damage):
    path = folder / "MNIST" / "raw" / "t10k-images-idx3-ubyte.gz"
    content = path.read_bytes()
    damaged = {"corrupt": b"x" + content[1:], "cut short": content[:-9], "empty": b""}[damage]
    path.write_bytes(damaged)
    before = state(folder)
    with pytest.raises(DataError, match=r"requires MD5 .* corrupt or cut short"):
        load("mnist", "test", root=folder)
    assert state(folder) == before


def test_a_partial_folder_is_refused(folder):
    (folder / "MNIST" / "raw" / "train-labels-idx1-ubyte.gz").unlink()
    before = state(folder)
    with pytest.raises(DataError, match="without train-labels-idx1-ubyte"):
        load("mnist", "test", root=folder)
    assert state(folder) == before


def test_a_missing_folder_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(torchvision.datasets.MNIST, "download", no_network)
    with pytest.raises(DataError, match=r"no network in tests.*set CURVLAB_DATA"):
        load("mnist", "test", root=tmp_path / "nowhere")
    with pytest.raises(DataError, match="could not be downloaded"):
        load("mnist", "test", root=tmp_path / "nowhere" / "deep")
    assert not list(tmp_path.iterdir())
    (tmp_path / "here").mkdir()
    with pytest.raises(DataError, match="could not be downloaded"):
        load("mnist", "test", root=tmp_path / "here")
    assert not list((tmp_path / "here").iterdir())


def test_a_download_is_moved_in_whole(folder, monkeypatch, tmp_path_factory):
    empty = tmp_path_factory.mktemp("empty")

    def fetch(self):
        assert Path(self.root) != empty
        shutil.copytree(folder / "MNIST" / "raw", self.raw_folder)
        for packed in list(Path(self.raw_folder).glob("*.gz")):
            packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))

    monkeypatch.setattr(torchvision.datasets.MNIST, "download", fetch)
    assert len(load("mnist", "test", root=empty).y) == 30
    assert [path.name for path in empty.iterdir()] == ["MNIST"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(torchvision.datasets.MNIST, "download", no_network)
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(DataError, match="could not be downloaded"):
        load("mnist", "test", root=blocked)
    assert blocked.read_text() == "not a folder"


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind the superuser")
def test_a_read_only_folder_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(DataError, match="Permission denied"):
        load("mnist", "test", root=tmp_path)
    tmp_path.chmod(0o700)


def test_a_refused_write_is_named(tmp_path, monkeypatch):
    def read_only(*args, **kwargs):
        raise PermissionError(30, "Read-only file system")

    monkeypatch.setattr(data.tempfile, "mkdtemp", read_only)
    with pytest.raises(DataError, match=r"Read-only file system.*one that can be written"):
        load("mnist", "test", root=tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_unreadable_file_is_named(folder):
    path = folder / "MNIST" / "raw" / "t10k-images-idx3-ubyte.gz"
    with pytest.raises(DataError, match="requires a readable file"):
        data.checked_bytes(path.parent, "0")


def test_cifar_is_checked_before_it_is_opened(tmp_path):
    raw = tmp_path / "cifar-10-batches-py"
    raw.mkdir()
    names = dict(torchvision.datasets.CIFAR10.train_list + torchvision.datasets.CIFAR10.test_list)
    (raw / "data_batch_1").write_bytes(b"")
    with pytest.raises(DataError, match="without data_batch_2"):
        load("cifar10", "train", root=tmp_path)
    for name in names:
        (raw / name).write_bytes(b"not a pickle")
    before = state(tmp_path)
    with pytest.raises(DataError, match="requires MD5"):
        load("cifar10", "train", root=tmp_path)
    assert state(tmp_path) == before


def test_cifar_is_read_as_it_was_written(tmp_path, monkeypatch):
    """Tiny files in the published format, under their own MD5 sums."""
    cifar, raw = torchvision.datasets.CIFAR10, tmp_path / "cifar-10-batches-py"
    raw.mkdir()
    generator, written = torch.Generator().manual_seed(0), {}

    def write(name, content):
        raw.joinpath(name).write_bytes(pickle.dumps(content))
        return hashlib.md5(raw.joinpath(name).read_bytes()).hexdigest()

    def batch(name):
        pixels = torch.randint(0, 256, (6, 3072), generator=generator, dtype=torch.uint8)
        written[name] = pixels, torch.randint(0, 10, (6,), generator=generator)
        content = {"data": pixels.numpy(), "labels": written[name][1].tolist()}
        return [name, write(name, content)]

    monkeypatch.setattr(cifar, "train_list", [batch(name) for name, _ in cifar.train_list])
    monkeypatch.setattr(cifar, "test_list", [batch(name) for name, _ in cifar.test_list])
    names = {"label_names": [f"class {i}" for i in range(10)]}
    meta = {"filename": "batches.meta", "key": "label_names", "md5": write("batches.meta", names)}
    monkeypatch.setattr(cifar, "meta", meta)

    pixels, labels = written["test_batch"]
    x, y = load("cifar10", "test", root=tmp_path)
    torch.testing.assert_close(x, pixels.view(6, 3, 32, 32).float() / 255)
    assert torch.equal(y, labels)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("imagenet", "train"), "requires a data set among"), (("mnist", "all"), "requires a split")],
)
def test_unknown_names(arguments, message):
    with pytest.raises(ValueError, match=message):
        load(*arguments)


def test_digits_are_split_once():
    parts = [load("digits", split) for split in data.SPLITS]
    assert [len(part.y) for part in parts] == [1_197, 300, 300]
    distinct = torch.cat([part.x for part in parts]).flatten(1).unique(dim=0)
    assert len(distinct) == 1_797


def test_moons_repeat_with_their_generator_and_lie_on_half_circles():
    first, second = (two_moons(60, 0.0, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first.x, second.x)
    points = (first.x - 0.5) * 4 + torch.tensor([0.5, 0.25])
    centers = torch.tensor([[0.0, 0.0], [1.0, 0.5]])[first.y]
    assert torch.allclose((points - centers).norm(dim=1), torch.ones(60), atol=1e-5)


@pytest.mark.parametrize(("count", "noise"), [(0, 0.1), (3, 0.1), (4, -1.0), (4, float("nan"))])
def test_moons_refuse_bad_numbers(count, noise):
    with pytest.raises(ValueError, match="requires an even count"):
        two_moons(count, noise)
