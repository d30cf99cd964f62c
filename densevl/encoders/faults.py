"""What does not fit together in an encoder that is to be loaded: told with its cure, before anything is computed.

Nothing in a file of weights says which activation it was trained with, or how images were normalised. What can be known
is: a layout that all its authors train alike, and a file that the weights table knows by its hash or its name.
"""

import math
from collections import Counter
from collections.abc import Mapping
from functools import cache
from typing import Any

from torch import Tensor

from densevl.core.errors import UsageError, WeightsError
from densevl.encoders.architectures import MINI, Arch, architecture, architectures
from densevl.weights import WeightsEntry, weights_table
from densevl.weights.layouts import Layout, find_layout
from densevl.weights.opened import OpenedWeights

__all__ = ["channels", "check_activation", "check_base", "known_weights", "likeness"]

Triple = tuple[float, float, float]


def known_weights(opened: OpenedWeights) -> WeightsEntry | None:
    """The row of the weights table that a file of the user is: by its hash, or by a name that one row alone has."""
    if opened.entry is not None:
        return opened.entry
    rows = [row for row in weights_table().values() if row.kind == "clip"]
    names = Counter(row.file for row in rows)
    for row in rows:
        if row.sha256 and row.sha256.startswith(opened.digest):
            return row
    return next((row for row in rows if row.file == opened.path.name and names[row.file] == 1), None)


def check_activation(arch: Arch, opened: OpenedWeights, found: Layout, known: WeightsEntry | None) -> None:
    """Refuse an activation that the weights were not trained with, where that is known.

    Args:
        arch: architecture that the file is to be read into.
        opened: the file.
        found: its layout.
        known: its row of the weights table; None where no row is it.

    Raises:
        WeightsError: where the layout or the row has the other activation.
    """
    if arch == MINI:
        return
    quick, wanted, why = _is_quick(arch), found.quick_gelu, f"files of the layout {found.name}"
    if wanted is None and known is not None and known.arch:
        wanted, why = _is_quick(known.arch), f"the weights {known.name}"
    if wanted is None or wanted == quick:
        return
    named = arch if isinstance(arch, str) else "given"
    other = named.removesuffix("-quickgelu") if quick else f"{named}-quickgelu"
    cure = f"take {other}" if other in architectures() else f'write "quick_gelu": {str(wanted).lower()} in its JSON'
    raise WeightsError(
        f"{opened.path} would be read with another activation than it was trained with, silently wrong: {why} are made "
        f"for {_gelu(wanted)}, and the architecture {named} has {_gelu(quick)}; {cure}"
    )


def check_base(opened: OpenedWeights, found: Layout, base: OpenedWeights, whole: Mapping[str, Tensor]) -> None:
    """Refuse a base that a file of a part of a model was not made from.

    Args:
        opened: the file of a part.
        found: its layout.
        base: the file of the base.
        whole: the tensors of the base, by our names.

    Raises:
        WeightsError: where the base has not the tensors of the part, or has them in other shapes, or has nothing that
            the part lacks.
    """
    cure = f"name the weights that {opened.path.name} was made from"
    part = found.read(opened.state, {})
    if found.apart:
        if not found.from_base(whole):
            raise WeightsError(f"the base {base.path} has nothing that {opened.path} lacks; {cure}")
        return
    other = [name for name in part if name in whole and whole[name].shape != part[name].shape]
    if other:
        name = other[0]
        raise WeightsError(
            f"the base {base.path} is of another architecture than {opened.path}: {name} "
            f"{tuple(whole[name].shape)} instead of {tuple(part[name].shape)}; {cure}"
        )
    if 2 * sum(name in whole for name in part) < len(part):
        raise WeightsError(f"the base {base.path} has none of the tensors of {opened.path}; {cure}")


def channels(mean: Any, std: Any) -> tuple[Triple | None, Triple | None]:
    """Mean and standard deviation as given, checked; None stays None.

    Raises:
        UsageError: where one is not three numbers, a mean is outside [0, 1], or a deviation is not positive.
    """
    return _three(mean, "mean", "from 0 to 1", 0.0), _three(std, "std", "above 0 and up to 1", math.ulp(0.0))


def _three(values: Any, name: str, range_: str, least: float) -> Triple | None:
    if values is None:
        return None
    try:
        first, second, third = (float(value) for value in values)
        if all(least <= value <= 1 for value in (first, second, third)):
            return first, second, third
    except (TypeError, ValueError):
        pass
    raise UsageError(
        f"{name} must be 3 numbers {range_}, of red, green and blue in [0, 1]; got {values!r}. "
        f"Write it so: --set encoder.{name}=[0.5,0.5,0.5]; divide numbers for pixels up to 255 by 255"
    )


def likeness(opened: OpenedWeights, found: Layout, arch: Arch, ours: Mapping[str, Tensor]) -> str:
    """What a file looks like that does not fill the model of an architecture, and the cure; empty where nobody knows.

    Args:
        opened: the file.
        found: the layout that it was read by.
        arch: the architecture.
        ours: its tensors as they were read.
    """
    seen = find_layout(opened.state)
    if seen.name != found.name:
        return f"it looks like a file of the layout {seen.name}: leave layout={found.name} out"
    if found.archs and arch not in found.archs:
        return f"it looks like a file of the layout {found.name}, whose architectures are {', '.join(found.archs)}"
    same = [name for name in _same_shapes(ours) if name != arch]
    return f"its shapes are those of {' and '.join(same)}" if same else ""


def _same_shapes(state: Mapping[str, Tensor]) -> list[str]:
    """Architectures of open_clip whose plain CLIP has the shapes of a state dict; empty where it is no such CLIP."""
    try:
        numbers = _numbers_of_state(state)
    except (KeyError, IndexError):
        return []
    return [name for name, others in _plain().items() if others == numbers]


def _numbers_of_state(state: Mapping[str, Tensor]) -> tuple[int, ...]:
    width, _, patch, _ = state["visual.conv1.weight"].shape
    blocks = Counter(name.partition("resblocks.")[0] for name in state if name.endswith(".ln_1.weight"))
    vocabulary, words = state["token_embedding.weight"].shape
    places = len(state["visual.positional_embedding"])
    vision = width, blocks["visual.transformer."], patch, places
    return (
        state["visual.proj"].shape[1],
        *vision,
        words,
        blocks["transformer."],
        vocabulary,
        len(state["positional_embedding"]),
    )


@cache
def _plain() -> dict[str, tuple[int, ...]]:
    import open_clip  # here: it takes longer to import than all else, and this is for an error

    found: dict[str, tuple[int, ...]] = {}
    for name in open_clip.list_models():
        config = open_clip.get_model_config(name)
        vision, text = {"layers": 12, "width": 768, "patch_size": 16, **config["vision_cfg"]}, config["text_cfg"]
        if config.get("custom_text") or "timm_model_name" in vision or not isinstance(vision["layers"], int):
            continue
        size, patch = vision.get("image_size", 224), vision["patch_size"]
        if not (isinstance(size, int) and isinstance(patch, int)):
            continue
        image = vision["width"], vision["layers"], patch, (size // patch) ** 2 + 1
        words = text.get("width", 512), text.get("layers", 12), text.get("vocab_size", 49408)
        found[name] = (config["embed_dim"], *image, *words, text.get("context_length", 77))
    return found


def _is_quick(arch: Arch) -> bool:
    return bool(architecture(arch).get("quick_gelu"))


def _gelu(quick: bool) -> str:
    return "QuickGELU" if quick else "GELU"
