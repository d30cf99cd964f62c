"""Text towers of transformers inside a model of open_clip, such as RoBERTa, XLM-RoBERTa or the encoder of mT5."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from densevl.core.errors import UsageError, first_line

__all__ = ["build_hugging_face_text"]


def build_hugging_face_text(
    cfg: Mapping[str, Any], embed_dim: int, state: Mapping[str, Tensor], quick_gelu: bool
) -> nn.Module:
    """An ``HFTextEncoder`` of open_clip, whose tensors are named as in open_clip's files.

    Args:
        cfg: ``config``, what ``config.json`` of the language model says, in the place of its name; ``hf_pooler_type``,
            ``hf_proj_type`` and ``context_length`` as open_clip has them.
        embed_dim: width of the joint space.
        state: not used: the config says all shapes.
        quick_gelu: not used: the config says the activation.

    Raises:
        UsageError: where transformers is missing, or does not know the model.
    """
    try:
        from open_clip.hf_model import HFTextEncoder
        from transformers import AutoConfig, AutoModel
    except ImportError as error:
        raise UsageError("this text tower needs transformers; install it: pip install 'densevl[llm]'") from error
    given = dict(cfg["config"])
    try:
        config = AutoConfig.for_model(given.pop("model_type"), **given)
        text: Any = HFTextEncoder("", embed_dim, config, cfg.get("hf_pooler_type"), cfg.get("hf_proj_type", "mlp"))
        # open_clip takes the encoder of a pair, and no pooling layer where it pools itself, but not from a config.
        if config.is_encoder_decoder:
            text.transformer = text.transformer.encoder
        else:
            pools = cfg.get("hf_pooler_type") == "cls_pooler"
            text.transformer = AutoModel.from_config(config, add_pooling_layer=pools)
    except (ValueError, KeyError, AttributeError) as error:
        raise UsageError(f"transformers builds no text tower of this config: {first_line(error)}") from error
    text.context_length = cfg.get("context_length", 77)
    return text
