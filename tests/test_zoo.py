"""The zoo gives back what was stored, and refuses everything else."""

import json

import pytest
import torch

from curvlab import zoo
from curvlab.zoo import ZooError

NAME = "digits/small/softplus/plain"
ARGUMENTS = {"sizes": [64, 12, 10], "activation": "softplus", "beta": 8.0}


@pytest.fixture
def stored(tmp_path):
    torch.manual_seed(0)
    model = zoo.build("MLP", ARGUMENTS)
    zoo.save(NAME, model, network="MLP", arguments=ARGUMENTS, made={"seed": 3}, folder=tmp_path)
    return tmp_path, model


def test_a_network_comes_back_as_stored(stored):
    folder, model = stored
    found = zoo.load(NAME, folder=folder)
    assert not found.training
    for a, b in zip(found.parameters(), model.parameters(), strict=True):
        assert a.dtype == torch.float32
        assert torch.equal(a, b.half().float())
    assert zoo.names(folder) == [NAME]
    card = zoo.card(NAME, folder=folder)
    assert card["seed"] == 3
    assert card["arguments"] == ARGUMENTS


def test_storing_again_gives_the_same_bytes(stored):
    folder, model = stored
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    zoo.save(NAME, model, network="MLP", arguments=ARGUMENTS, made={"seed": 3}, folder=folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_flipped_bit_is_refused(stored):
    folder, _ = stored
    path = folder / "digits.small.softplus.plain.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(ZooError, match="requires SHA-256"):
        zoo.load(NAME, folder=folder)


def test_an_edited_card_is_refused(stored):
    folder, _ = stored
    path = folder / "digits.small.softplus.plain.json"
    card = json.loads(path.read_text())
    path.write_text(json.dumps({**card, "seed": 4}))
    with pytest.raises(ZooError, match="Found it edited"):
        zoo.load(NAME, folder=folder)
    path.write_text("{")
    with pytest.raises(ZooError, match="as the study wrote it"):
        zoo.load(NAME, folder=folder)
    path.write_text("[]")
    with pytest.raises(ZooError, match="Found another"):
        zoo.load(NAME, folder=folder)


def test_another_network_s_files_are_refused(stored):
    folder, _ = stored
    for kind in ("json", "safetensors"):
        source = folder / f"digits.small.softplus.plain.{kind}"
        (folder / f"digits.small.relu.plain.{kind}").write_bytes(source.read_bytes())
    with pytest.raises(ZooError, match="Found another"):
        zoo.load("digits/small/relu/plain", folder=folder)


def test_a_missing_network_lists_what_there_is(stored):
    folder, _ = stored
    with pytest.raises(ZooError, match=rf"of the zoo \({NAME}\)"):
        zoo.load("mnist/softplus/none", folder=folder)
    (folder / "digits.small.softplus.plain.safetensors").unlink()
    with pytest.raises(ZooError, match="requires a network of the zoo"):
        zoo.load(NAME, folder=folder)


def test_weights_beyond_float16_are_refused(tmp_path):
    model = zoo.build("MLP", ARGUMENTS)
    with torch.no_grad():
        next(model.parameters())[0, 0] = 1e6
    with pytest.raises(ZooError, match="finite in float16"):
        zoo.save(NAME, model, network="MLP", arguments=ARGUMENTS, made={}, folder=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["", "../escape", "Mnist/x", "a.b"])
def test_bad_names_are_refused(name, tmp_path):
    with pytest.raises(ValueError, match="requires a name of lower-case words"):
        zoo.load(name, folder=tmp_path)


def test_unknown_networks_are_refused():
    with pytest.raises(ValueError, match="requires a network among"):
        zoo.build("ResNet", {})


@pytest.mark.parametrize("name", zoo.names())
def test_every_shipped_network_loads(name):
    model, card = zoo.load(name), zoo.card(name)
    x = torch.rand(2, 1, 28, 28)
    assert model(x).shape == (2, 10)
    count = sum(p.numel() for p in model.parameters())
    assert count <= (25_000 if "/small/" in name else 60_000)
    assert 0 <= card["clean_accuracy"] <= 1


def test_the_zoo_is_small():
    assert sum(path.stat().st_size for path in zoo.FOLDER.glob("*")) < 12e6
