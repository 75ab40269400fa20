"""The study's trained networks, as they were evaluated: float16 weights and how they came to be.

A network is two files in `zoo_files`: `NAME.safetensors` and `NAME.json`, with dots for the slashes
of its name. The second holds the SHA-256 of the first and of itself, so that a file that was
damaged, exchanged or edited is refused.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as load_weights
from safetensors.torch import save as save_weights
from torch import nn

from curvlab.files import write_atomic
from curvlab.networks import MLP, SmallCNN

__all__ = ["ZooError", "build", "card", "load", "names", "save"]

FOLDER = Path(__file__).with_name("zoo_files")
NETWORKS: dict[str, type[nn.Module]] = {"MLP": MLP, "SmallCNN": SmallCNN}


class ZooError(RuntimeError):
    """A file of the zoo that is missing, damaged or not what it says."""


def names(folder: Path = FOLDER) -> list[str]:
    """The networks there are, sorted: `data/activation/method` for the study's convolutional one,
    `data/small/activation/method` for those that travel in a page.

    >>> all(name.count("/") in (2, 3) for name in names())
    True
    """
    return sorted(path.stem.replace(".", "/") for path in folder.glob("*.json"))


def load(
    name: str, *, device: str | torch.device = "cpu", folder: Path = FOLDER
) -> nn.Module:
    """The network `name` in evaluation mode, in float32 with the stored float16 values.

    `zoo.load("mnist/softplus/hessian-norm")`
    """
    model, _ = read(name, folder)
    return model.to(device)


def card(name: str, *, folder: Path = FOLDER) -> dict[str, Any]:
    """Everything that made the network `name`, and its accuracies as stored."""
    return read(name, folder)[1]


def build(network: str, arguments: dict[str, Any]) -> nn.Module:
    """A network by the name of its class; `arguments` are the class's own.

    >>> type(build("MLP", {"sizes": [784, 32, 10]})).__name__
    'MLP'
    """
    if network not in NETWORKS:
        raise ValueError(f"requires a network among {', '.join(NETWORKS)}. Found {network!r}.")
    return NETWORKS[network](**arguments)


def save(
    name: str,
    model: nn.Module,
    *,
    network: str,
    arguments: dict[str, Any],
    made: dict[str, Any],
    folder: Path = FOLDER,
) -> None:
    """Stores a network that `build(network, arguments)` gives, and what made it."""
    weights = half_weights(model)
    content = {
        "name": name, "network": network, "arguments": arguments, **made,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
    }
    content["card_sha256"] = digest(content)
    # The card comes last: without it the weights are not a network of the zoo.
    write_atomic(folder / f"{file_stem(name)}.safetensors", weights)
    text = json.dumps(content, indent=1, sort_keys=True) + "\n"
    write_atomic(folder / f"{file_stem(name)}.json", text.encode())


def half_weights(model: nn.Module) -> bytes:
    """The weights in float16, as safetensors. Raises where one does not fit."""
    tensors = {
        key: value.detach().cpu().half().contiguous() for key, value in model.state_dict().items()
    }
    for key, value in tensors.items():
        if not value.isfinite().all():
            raise ZooError(f"requires weights that are finite in float16. Found {key} is not.")
    return save_weights(tensors)


def with_weights(model: nn.Module, weights: bytes) -> nn.Module:
    """The model, in evaluation mode, with stored weights brought to its own precision."""
    tensors = {key: value.float() for key, value in load_weights(weights).items()}
    model.load_state_dict(tensors)
    return model.eval()


def read(name: str, folder: Path) -> tuple[nn.Module, dict[str, Any]]:
    stem = folder / file_stem(name)
    try:
        content: dict[str, Any] = json.loads(Path(f"{stem}.json").read_text(encoding="utf-8"))
        weights = Path(f"{stem}.safetensors").read_bytes()
    except FileNotFoundError as error:
        known = ", ".join(names(folder)) or "none"
        raise ZooError(f"requires a network of the zoo ({known}). Found {name!r}.") from error
    except ValueError as error:
        raise ZooError(f"requires {stem}.json as the study wrote it. Found {error}.") from error
    if not isinstance(content, dict) or content.get("name") != name:
        raise ZooError(f"requires the card of {name!r} in {stem}.json. Found another.")
    if content.get("card_sha256") != digest(content):
        raise ZooError(f"requires {stem}.json as the study wrote it. Found it edited.")
    found = hashlib.sha256(weights).hexdigest()
    if content["weights_sha256"] != found:
        raise ZooError(
            f"requires SHA-256 {content['weights_sha256']} of {stem}.safetensors. Found {found}."
        )
    return with_weights(build(content["network"], content["arguments"]), weights), content


def digest(content: dict[str, Any]) -> str:
    rest = {key: value for key, value in content.items() if key != "card_sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def file_stem(name: str) -> str:
    if not name or set(name) - set("abcdefghijklmnopqrstuvwxyz0123456789-/"):
        raise ValueError(
            f"requires a name of lower-case words, digits, hyphens and slashes. Found {name!r}."
        )
    return name.replace("/", ".")
