"""Text towers against reference outputs: SigLIP's, MetaCLIP 2's, Long-CLIP's, and the adapter of LLM2CLIP."""

import open_clip
import pytest
import torch
from toys.golden import assert_agrees, golden, rule_state
from toys.tokenizers import byte_pairs, save_transformers

from densevl.encoders.architectures import build_model
from densevl.encoders.texts import text_tower
from densevl.encoders.texts.adapter import TextAdapter
from densevl.encoders.texts.language_model import LanguageModel
from densevl.encoders.texts.llm import LLMTexts, llm_template
from densevl.encoders.texts.tokenizers import read_tokenizer
from densevl.weights.layouts import layout

VISION = {"image_size": 32, "patch_size": 16, "width": 64, "layers": 1, "head_width": 64}
SIGLIP = {"no_causal_mask": True, "proj_bias": True, "pool_type": "last", "norm_kwargs": {"eps": 1e-6}}
TEXTS = {
    "siglip": ({**SIGLIP, "tokenizer": {"files": ["tokenizer.json"], "end": 1, "pad": 1}}, True, 64),
    "metaclip2": (
        {
            "pool_type": "eos",
            "eos_id": 2,
            "tokenizer": {"files": ["tokenizer.json"], "start": 0, "end": 2, "pad": 1},
        },
        False,
        40,
    ),
}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    save_transformers(byte_pairs("<s>", "<pad>", "</s>"), folder, pad="<pad>")
    return folder / "tokenizer.json"


@pytest.mark.parametrize("system", TEXTS)
def test_texts(system, tokenizer):
    outputs = golden("timm_towers")
    text, custom, joint = TEXTS[system]
    own = {key: value for key, value in text.items() if key != "tokenizer"}
    sizes = {"context_length": 12, "vocab_size": 400, "width": 64, "heads": 4, "layers": 2}
    arch = {"embed_dim": joint, "vision_cfg": VISION, "text_cfg": {**own, **sizes}, "custom_text": custom}
    model, _ = build_model(arch)
    # The file names the tensors of the first block, as a text tower of its own has them.
    prefix = "" if custom else "text."
    published = {prefix + name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert {f"{name} {shape}" for name, shape in published.items()} > set(outputs[f"{system}_text_names"].tolist())
    model.load_state_dict({name.removeprefix(prefix): one for name, one in rule_state(published).items()})
    tower = text_tower(model, read_tokenizer({**text, "vocab_size": 400}, tokenizer))
    assert tower.context == 12
    tokens = torch.from_numpy(outputs[f"{system}_text_tokens"])
    with torch.no_grad():
        assert_agrees(tower.encode(tokens), outputs[f"{system}_text_embedding"])
        # Of a tower that reads at the end of a text, the places behind it may be left out.
        assert tower.short_context is (system == "metaclip2")
        one_by_one = torch.cat([tower.encode(row[None]) for row in tokens])
    assert_agrees(one_by_one, outputs[f"{system}_text_embedding"])
    assert tower.tokenize(["a cat"])[0, 0] == (
        tokens[0, 0] if system == "metaclip2" else tower.reader.encode("a cat")[0]
    )


def test_a_context_cut_to_the_longest_text_is_exact_for_248_tokens():
    outputs = golden("longclip_text")
    joint, width, heads, layers, vocabulary = outputs["config"].tolist()
    text = {"context_length": 248, "vocab_size": vocabulary, "width": width, "heads": heads, "layers": layers}
    model = open_clip.CLIP(joint, {**VISION, "layers": 2}, text, quick_gelu=True).eval()
    state = rule_state({name: tuple(tensor.shape) for name, tensor in model.state_dict().items()})
    first = rule_state({"positional_embedding": (248, width)})["positional_embedding"]
    later = rule_state({"positional_embedding_res": (248, width)})["positional_embedding_res"]
    state["positional_embedding"] = torch.cat([first[:20], later[20:]])
    model.load_state_dict(state)
    tower = text_tower(model, open_clip.SimpleTokenizer())
    tokens = torch.from_numpy(outputs["tokens"])
    lengths = tokens.argmax(dim=1) + 1
    assert lengths.max() == tower.context == 248
    with torch.no_grad():
        for row, length, expected in zip(tokens, lengths, outputs["text"], strict=True):
            assert_agrees(tower.encode(row[None]), expected[None])
            assert_agrees(tower.encode(row[None, :length]), expected[None])


@pytest.mark.parametrize("unit", [True, False])
def test_the_adapter_of_llm2clip(unit):
    outputs = golden("llm2clip_adapter")
    width, joint, blocks, expansion = outputs["config"].tolist()
    # The layout is that of a whole file, in which the adapter is the text tower.
    state = {f"text.{name}": tensor for name, tensor in rule_state(outputs["names"]).items()}
    ours = layout("llm2clip").read(state)
    adapter = TextAdapter(width, joint, blocks, expansion)
    adapter.load_state_dict({name.removeprefix("text.adapter."): tensor for name, tensor in ours.items()})
    tower = LLMTexts(LanguageModel("not needed"), llm_template("bare"), adapter, unit=unit)
    with torch.no_grad():
        found = tower.adapt(torch.from_numpy(outputs["llm_embedding"]))
    assert_agrees(found, outputs["adapted" if unit else "adapted_without_l2"])
