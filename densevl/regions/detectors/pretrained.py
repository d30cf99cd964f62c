"""The common base of detectors of transformers: safetensors and tokenizer files alone, from a hub or from a folder."""

from pathlib import Path
from typing import Any, ClassVar

import torch

from densevl.core.errors import UsageError, WeightsError, first_line
from densevl.weights import fetch_folder, is_offline

try:
    import transformers
except ImportError as error:
    raise UsageError("detectors need transformers; install it: pip install 'densevl[detect]'") from error

__all__ = ["PretrainedDetector", "load_pretrained"]


class PretrainedDetector(torch.nn.Module):
    """A detector round a model of transformers.

    Args:
        model: the model, such as ``Owlv2ForObjectDetection``.
        processor: its processor.
        name: the detector's name in results; None for that of its kind.

    Attributes:
        kind: start of the names of both classes of transformers, such as ``"Owlv2"``.
        title: the kind's name for people.
        example: a repository on the hub that would do, for messages.
    """

    kind: ClassVar[str]
    title: ClassVar[str]
    example: ClassVar[str]

    def __init__(self, model: Any, processor: Any, name: str | None = None) -> None:
        super().__init__()
        self.model, self.processor, self.name = model.eval(), processor, name or self.title

    @classmethod
    def load(cls, weights: str | Path, revision: str | None, offline: bool, **settings: Any) -> Any:
        """A detector of this class with pretrained weights, in float32.

        Args:
            weights: a repository on the hub, or a folder.
            revision: commit of the repository.
            offline: never reach for the network.
            settings: further arguments of the class.

        Raises:
            WeightsError: where the model cannot be had, or weights are missing.
        """
        classes = f"{cls.kind}ForObjectDetection", f"{cls.kind}Processor"
        model, processor = load_pretrained(*classes, weights, revision, offline, cls.example)
        return cls(model, processor, f"{cls.title} ({str(weights).rstrip('/').rsplit('/', 1)[-1]})", **settings)


def load_pretrained(
    model_class: str, processor_class: str, weights: str | Path, revision: str | None, offline: bool, example: str
) -> tuple[torch.nn.Module, Any]:
    """A model of transformers in float32 for inference, and its processor.

    Args:
        model_class: name of the model's class.
        processor_class: name of its processor's class.
        weights: a repository on the hub, or a folder.
        revision: commit of the repository.
        offline: never reach for the network.
        example: a repository that would do, for the message.

    Raises:
        WeightsError: where they cannot be had, or weights are missing.
    """
    kind = model_class.removesuffix("ForObjectDetection")
    folder = fetch_folder(weights, revision, offline=offline)
    place: dict[str, Any] = {"revision": revision or "main", "local_files_only": is_offline(offline)}
    if folder is not None:
        weights, place = folder, {}
    try:
        model, notes = getattr(transformers, model_class).from_pretrained(
            weights, use_safetensors=True, output_loading_info=True, **place
        )
        processor = getattr(transformers, processor_class).from_pretrained(weights, **place)
    except (OSError, ValueError, RuntimeError) as error:
        raise WeightsError(
            f"{kind} cannot be loaded from {weights}: {first_line(error)}; fetch config.json, model.safetensors and "
            f"the files of processor and tokenizer of a repository such as {example} into a folder, and name the "
            "folder; or bring those of the default here with `densevl fetch owlv2`, or grounding-dino"
        ) from error
    absent = sorted(notes["missing_keys"]) + sorted(notes["mismatched_keys"])
    if absent:
        raise WeightsError(f"{weights} is no complete {kind}: {len(absent)} weights are missing, such as {absent[0]}")
    return model.float().eval().requires_grad_(False), processor
