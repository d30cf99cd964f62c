"""SAM 3 (Carion et al., SAM 3: Segment Anything with Concepts, 2025, https://arxiv.org/abs/2511.16719) by transformers.

It is asked for a noun phrase, and answers for the whole image: a map of the pixels that show it, up to 200 masks of its
instances with a score each, and whether the image shows it at all (its *presence*). An image is encoded once, for any
number of phrases. It has no joint space of patches and texts: what asks for one gets an error that says so.

Its weights are gated: each person has to accept their licence on the hub. So they are read from a folder, or from the
hub's own cache on this machine, and never fetched. Safetensors alone are read, and no code of a repository is run.
"""

import hashlib
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn

from densevl.core.errors import UsageError, WeightsError, first_line, shortened
from densevl.core.geometry import Size
from densevl.weights import WeightsEntry, weights_entry
from densevl.weights.licences import licence_text
from densevl.weights.places import location

__all__ = ["Answers", "Phrases", "Sam3Encoder", "build_sam3"]


@dataclass(frozen=True, eq=False)
class Phrases:
    """Texts as SAM 3 reads them.

    Attributes:
        tokens: vectors of the tokens of each text, filled up.
        mask: which of them are tokens of the text.
    """

    tokens: Float[Tensor, "q t c"]
    mask: Bool[Tensor, "q t"]

    def __getitem__(self, chosen: Any) -> "Phrases":
        return Phrases(self.tokens[chosen], self.mask[chosen])

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True, eq=False)
class Answers:
    """What SAM 3 says of phrases, all of one image.

    Attributes:
        semantic: probability of each pixel of its grid to show the phrase.
        masks: probability of each pixel to belong to each of n instances.
        scores: probability of each instance to be one, given that the image shows the phrase.
        presence: probability that the image shows the phrase.
    """

    semantic: Float[Tensor, "q h w"]
    masks: Float[Tensor, "q n h w"]
    scores: Float[Tensor, "q n"]
    presence: Float[Tensor, " q"]


class Sam3Encoder(nn.Module):
    """SAM 3: images once, then phrases.

    Args:
        model: ``Sam3Model``.
        processor: its ``Sam3Processor``.
        name: what the model is called in results.

    Attributes:
        model_id: name, and a hash of what all answers pass through, the mask decoder and the projection of texts.
    """

    temperature = 1.0
    mean = std = (0.5, 0.5, 0.5)

    def __init__(self, model: Any, processor: Any, name: str = "sam3") -> None:
        super().__init__()
        self.model, self.processor = model.eval().requires_grad_(False), processor
        self.model_id = f"{name}@{_digest(model)}"
        backbone = model.config.vision_config.backbone_config
        self.side, self.patch_size = int(backbone.image_size), int(backbone.patch_size)
        self.dim = int(model.config.detr_encoder_config.hidden_size)
        self.width, self.depth = int(backbone.hidden_size), int(backbone.num_hidden_layers)
        self._other: tuple[Any, Any] | None = None

    @property
    def image_size(self) -> Size:
        """(height, width) that it was trained with."""
        return self.side, self.side

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.model.text_projection.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights."""
        return self.model.text_projection.weight.dtype

    @torch.inference_mode()
    def phrases(self, texts: Sequence[str]) -> Phrases:
        """Texts as they are asked for.

        Raises:
            UsageError: where one has more tokens than SAM 3 reads.
        """
        most = self.model.config.text_config.max_position_embeddings
        read = self.processor.tokenizer(list(texts), padding="max_length", max_length=most)
        if max(map(len, read["input_ids"])) > most:
            counts = list(map(sum, read["attention_mask"]))
            long = texts[counts.index(max(counts))]
            raise UsageError(f"{shortened(repr(long))} has {max(counts)} tokens, and SAM 3 reads {most}; shorten it")
        ids, mask = (torch.tensor(read[name], device=self.device) for name in ("input_ids", "attention_mask"))
        tokens = self.model.get_text_features(input_ids=ids, attention_mask=mask, return_dict=True).pooler_output
        return Phrases(tokens, mask.bool())

    @torch.inference_mode()
    def see(self, image: UInt8[np.ndarray, "H W 3"], side: int | None = None) -> Any:
        """An image as phrases are asked of it: ``Sam3VisionEncoderOutput``.

        Args:
            image: RGB; it is stretched to a square, as the training did.
            side: of the square in pixels, whole patches; None for that of the training.
        """
        size = {"height": side or self.side, "width": side or self.side}
        pixels = self.processor.image_processor(images=[image], size=size, return_tensors="pt")["pixel_values"]
        tower = self.model.vision_encoder if side in (None, self.side) else self._tower(side)
        return tower(pixels.to(self.device, self.dtype), return_dict=True)

    @torch.inference_mode()
    def ask(self, seen: Any, phrases: Phrases) -> Answers:
        """What an image shows of phrases, each by itself; they pass through the model together.

        Args:
            seen: what :meth:`see` gave.
            phrases: one or more.
        """
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        count = len(phrases)
        levels = {
            name: tuple(level.expand(count, *level.shape[1:]) for level in seen[name])
            for name in ("fpn_hidden_states", "fpn_position_encoding")
        }
        found = self.model(
            vision_embeds=type(seen)(**levels),
            text_embeds=BaseModelOutputWithPooling(pooler_output=phrases.tokens),
            attention_mask=phrases.mask.long(),
        )
        semantic, masks, scores, presence = (
            value.float().sigmoid()
            for value in (found.semantic_seg, found.pred_masks, found.pred_logits, found.presence_logits)
        )
        return Answers(semantic[:, 0], masks, scores, presence[:, 0])

    def _tower(self, side: int) -> Any:
        """The vision tower for squares of another side: the same weights, with the positions of its grid.

        Raises:
            UsageError: where the side is no whole number of patches.
        """
        if side < self.patch_size or side % self.patch_size:
            raise UsageError(f"SAM 3 sees squares of whole patches of {self.patch_size} pixels; got a side of {side}")
        own, key = self.model.vision_encoder, (side, self.device, self.dtype)
        if self._other is None or self._other[0] != key:
            tower = deepcopy(own, {id(weight): weight for weight in own.parameters()})
            tower.config.image_size = side
            for layer in tower.backbone.layers:
                positions = layer.precompute_positions(tower.config.backbone_config, layer.window_size)
                layer.position_ids = positions.to(self.device)
            self._other = key, tower
        return self._other[1]

    def last_block(self, *_: Any, **__: Any) -> Any:
        """Refuse: there are no vectors that patches, regions and texts have in common.

        Raises:
            UsageError: always.
        """
        raise UsageError(
            "SAM 3 answers what it is asked for and has no vectors of patches, regions or texts to compare; take an "
            "image-text model for this, such as dinoiser or fgvp-b16"
        )

    to_joint = tokens = embed_images = embed_texts = fit_texts = last_block


def build_sam3(weights: str | Path = "sam3", *, offline: bool = False) -> Sam3Encoder:
    """SAM 3 in float32 on the CPU, for inference.

    Args:
        weights: a folder in the layout of transformers; or ``"sam3"``, for the files in densevl's cache or in the hub's
            own cache on this machine.
        offline: without effect, for nothing is ever fetched.

    Raises:
        UsageError: where transformers is too old or missing.
        WeightsError: where the files are not here, damaged or incomplete.
    """
    try:
        from transformers import Sam3Model, Sam3Processor
    except ImportError as error:
        raise UsageError("SAM 3 needs transformers 5; install it: pip install 'densevl[detect]'") from error
    entry = weights_entry("sam3")
    source: Path | str = Path(weights).expanduser()
    if str(weights) == entry.name:
        source = location(entry).parent if location(entry).is_file() else str(entry.repository)
    elif not Path(source).is_dir():
        raise WeightsError(f"SAM 3: {shortened(str(weights))} is no folder. {_cure(entry)}")
    here: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        read: Any = Sam3Model.from_pretrained(str(source), use_safetensors=True, output_loading_info=True, **here)
        processor = Sam3Processor.from_pretrained(str(source), **here)
    except (OSError, ValueError, RuntimeError) as error:
        raise WeightsError(f"SAM 3 cannot be loaded from {source}: {first_line(error)} {_cure(entry)}") from error
    model, notes = read
    absent = [*sorted(notes["missing_keys"]), *sorted(map(str, notes["mismatched_keys"]))]
    if absent:
        raise WeightsError(f"{source} is no complete SAM 3: {len(absent)} weights are missing, such as {absent[0]}")
    return Sam3Encoder(model.float(), processor)


def _cure(entry: WeightsEntry) -> str:
    """Whose licence must be accepted, and where the files belong."""
    return (
        f"{licence_text(entry)}: accept it at https://huggingface.co/{entry.repository}, then bring the files here "
        f"(`hf download {entry.repository} --local-dir {location(entry).parent}`), or name a folder that has them: "
        "--set encoder.weights=FOLDER"
    )


def _digest(model: Any) -> str:
    """A hash of the weights that all answers pass through."""
    found = hashlib.sha256()
    for part in (model.text_projection, model.mask_decoder):
        for value in part.state_dict().values():
            found.update(value.detach().cpu().float().numpy().tobytes())
    return found.hexdigest()[:12]
