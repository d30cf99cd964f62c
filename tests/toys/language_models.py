"""Small language models of transformers with random weights and a trained tokenizer, saved as published ones are."""

from pathlib import Path
from typing import Any

import torch
from toys.tokenizers import byte_pairs, save_transformers
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM, PreTrainedModel

SIZES: dict[str, Any] = {
    "vocab_size": 420,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "bos_token_id": 0,
    "eos_token_id": 1,
}
SPECIAL = ("<s>", "</s>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")


def save_language_model(folder: Path, kind: str = "llama", seed: int = 0, **sizes: Any) -> PreTrainedModel:
    """A Llama or a Mistral without a sliding window, in a folder that transformers reads.

    Args:
        folder: where to.
        kind: ``"llama"`` or ``"mistral"``.
        seed: of its weights.
        sizes: in place of some of :data:`SIZES`.
    """
    config_class, model_class = {
        "llama": (LlamaConfig, LlamaForCausalLM),
        "mistral": (MistralConfig, MistralForCausalLM),
    }[kind]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        settings = {"sliding_window": None} if kind == "mistral" else {}
        model = model_class(config_class(**(SIZES | settings | sizes))).eval()
        for parameter in model.parameters():
            if parameter.ndim > 1:  # the usual initialisation is so small that every text looks alike
                torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    save_transformers(byte_pairs(*SPECIAL), folder, pad=None, around=("<s>", None))
    return model
