"""Texts by language models, against transformers' own passes on small models saved to disk."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from toys.language_models import save_language_model
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from densevl.core.errors import TextTooLong, UsageError, WeightsError
from densevl.encoders.contracts import FrozenTexts, TextTower
from densevl.encoders.texts.adapter import TextAdapter
from densevl.encoders.texts.cache import TextCache
from densevl.encoders.texts.embeddings import embed_texts
from densevl.encoders.texts.language_model import LanguageModel
from densevl.encoders.texts.llm import LLMTemplate, LLMTexts, build_llm_texts, llm_template

TEXTS = ["a cat", "a red heart right of the blue ring on a green ground", "naïve 猫"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("llm") / "tiny-llama"


@pytest.fixture(scope="module")
def llama(folder):
    """The decoder of a small Llama, as transformers has it in memory."""
    return save_language_model(folder).model


@pytest.fixture(scope="module")
def mistral(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llm") / "tiny-mistral"
    return folder, save_language_model(folder, "mistral", seed=1).model


def two_way(model, ids):
    """The last states of a Llama whose tokens all see each other, written out."""
    x, places = model.embed_tokens(ids), torch.arange(ids.shape[1])[None]
    angles = model.rotary_emb(x, places)
    for layer in model.layers:
        attention, inside = layer.self_attn, layer.input_layernorm(x)
        heads = [
            projection(inside).unflatten(2, (-1, attention.head_dim)).transpose(1, 2)
            for projection in (attention.q_proj, attention.k_proj, attention.v_proj)
        ]
        queries, keys = apply_rotary_pos_emb(*heads[:2], *angles)
        keys, values = (one.repeat_interleave(len(queries[0]) // len(keys[0]), dim=1) for one in (keys, heads[2]))
        weights = (queries @ keys.mT / attention.head_dim**0.5).softmax(-1)
        x = x + attention.o_proj((weights @ values).transpose(1, 2).flatten(2))
        x = x + layer.mlp(layer.post_attention_layernorm(x))
    return model.norm(x)


@torch.no_grad()
def test_llm2vec_is_the_mean_of_two_way_states_behind_the_head_of_the_template(folder, llama):
    tower = LLMTexts(LanguageModel(str(folder)), llm_template("llm2vec-llama-3"), unit=False)
    assert isinstance(tower, TextTower)
    assert isinstance(tower, FrozenTexts)
    found = tower.encode(tower.tokenize(TEXTS))
    encode = tower.llm.tokenizer.encode
    head = encode("<|start_header_id|>user<|end_header_id|>\n\n")
    for text, vector in zip(TEXTS, found, strict=True):
        body = encode(f"{text}<|eot_id|>")
        states = two_way(llama, torch.tensor([[0, *head, *body]]))
        torch.testing.assert_close(vector, states[0, -len(body) :].mean(0), rtol=1e-4, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("name", ["flame", "flame-short", "flame-long"])
def test_flame_reads_each_facet_as_if_it_were_alone(mistral, name):
    folder, model = mistral
    template = llm_template(name)
    tower = LLMTexts(LanguageModel(str(folder), layer=2), template, causal=True, unit=False, context=1024)
    found = tower.encode(tower.tokenize(TEXTS))
    encode = tower.llm.tokenizer.encode
    assert len(template.facets) == {"flame": 1, "flame-short": 3, "flame-long": 7}[name]
    for text, vector in zip(TEXTS, found, strict=True):
        shared = [0, *encode(template.template.replace("{}", f"{text}."))]
        vectors, place = [], len(shared)
        for facet in map(encode, template.facets):
            places = [*range(len(shared)), *range(place, place + len(facet))]
            passed = model(
                input_ids=torch.tensor([[*shared, *facet]]),
                position_ids=torch.tensor([places]),
                output_hidden_states=True,
            )
            vectors.append(passed.hidden_states[2][0, -1])
            place += len(facet)
        torch.testing.assert_close(vector, torch.stack(vectors).mean(0), rtol=1e-4, atol=1e-4)


def test_flame_ends_a_caption_as_its_code_does():
    template = llm_template("flame")
    assert template.fill(' a "red" cat ') == "Image description : \"a 'red' cat.\" . After thinking step by step ,"
    assert '"what?' not in template.fill("what?")
    assert '"what."' in template.fill("what?")
    assert '"cat."' in template.fill("cat.")


@torch.no_grad()
def test_a_batch_gives_what_its_texts_give_one_by_one(folder, llama):
    for name in ("bare", "flame-long"):
        tower = LLMTexts(LanguageModel(str(folder)), llm_template(name))
        together = tower.encode(tower.tokenize(TEXTS))
        alone = torch.cat([tower.encode(tower.tokenize([text])) for text in TEXTS])
        torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(together.norm(dim=1), torch.ones(len(TEXTS)))


@torch.no_grad()
def test_a_causal_template_without_facets_is_transformers_own_pass(folder, llama):
    tower = LLMTexts(LanguageModel(str(folder)), LLMTemplate("say {}", pooling="last"), causal=True, unit=False)
    ids = tower.tokenize(TEXTS[1:2])
    torch.testing.assert_close(tower.encode(ids), llama(input_ids=ids).last_hidden_state[:, -1], rtol=1e-4, atol=1e-4)


def test_a_text_that_is_too_long_is_counted_and_cut_inside_the_template(folder, llama):
    tower = LLMTexts(LanguageModel(str(folder)), llm_template("llm2vec-llama-3"), context=24)
    long = "the quick brown fox jumps over the lazy dog " * 9
    with pytest.raises(TextTooLong, match="takes 24"):
        tower.tokenize([long])
    (row,) = tower.tokenize([long], cut=True).tolist()
    assert len(row) <= 24
    assert row[-1] == tower.llm.tokenizer.encode("<|eot_id|>")[0]
    texts, count = tower.fit([long, "cat"])
    assert count == 1
    assert long.startswith(texts[0])
    assert texts[1] == "cat"
    assert tower.tokenize(texts).shape[1] <= 24


def test_a_language_model_runs_once_a_sentence_whatever_follows_it(folder, llama, tmp_path):
    cache, template = TextCache(tmp_path), llm_template("bare")
    first = LLMTexts(LanguageModel(str(folder)), template, TextAdapter(32, 16).eval())
    runs = []
    first.llm.model.register_forward_hook(lambda _, __, found: runs.append(len(found.last_hidden_state)))
    found = embed_texts(first, ["cat", "dog", "cat"], ("a {}", "{}"), "one@1", cache)
    assert sum(runs) == 4
    assert torch.equal(found[0], found[2])
    # Other templates of the user, another adapter, another instance: the model is not even loaded.
    torch.manual_seed(3)
    second = LLMTexts(LanguageModel(str(folder)), template, TextAdapter(32, 8).eval())
    again = embed_texts(second, ["dog", "a cat"], ("{}",), "two@1", cache)
    assert again.shape == (2, 8)
    assert "model" not in vars(second.llm)
    assert torch.equal(embed_texts(first, ["cat", "dog"], ("{}", "a {}"), "one@2", cache), found[:2])
    assert sum(runs) == 4
    with torch.no_grad():
        plain = F.normalize(second.encode(second.tokenize(["dog"])), dim=1)
    torch.testing.assert_close(again[:1], plain)


@pytest.mark.slow
def test_another_process_runs_it_no_more(folder, llama, tmp_path):
    code = (
        "import sys; from pathlib import Path;"
        "from densevl.encoders.texts.cache import TextCache; from densevl.encoders.texts.embeddings import embed_texts;"
        "from densevl.encoders.texts.language_model import LanguageModel;"
        "from densevl.encoders.texts.llm import LLMTexts, llm_template;"
        "tower = LLMTexts(LanguageModel(sys.argv[1]), llm_template('bare'));"
        "found = embed_texts(tower, ['cat', 'dog'], ('{}',), 'x', TextCache(Path(sys.argv[2])));"
        "print('model' in vars(tower.llm), float(found[0] @ found[1]))"
    )
    here = LLMTexts(LanguageModel(str(folder)), llm_template("bare"))
    found = embed_texts(here, ["dog", "cat"], ("{}",), "x", TextCache(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), str(tmp_path)], capture_output=True, text=True, check=True
    )
    loaded, cosine = done.stdout.split()
    assert loaded == "False"
    assert float(cosine) == pytest.approx(float(found[0] @ found[1]))


def test_another_model_template_or_layer_has_vectors_of_its_own(folder, llama, tmp_path):
    tower = LLMTexts(LanguageModel(str(folder)), llm_template("bare"))
    state = load_file(folder / "model.safetensors")
    other = tmp_path / folder.name
    other.mkdir()
    for path in folder.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    assert LLMTexts(LanguageModel(str(other)), tower.template).identity == tower.identity
    state["model.layers.1.mlp.up_proj.weight"][0, 0] += 1
    save_file(state, other / "model.safetensors", {"format": "pt"})
    changed = [
        LLMTexts(LanguageModel(str(other)), tower.template),
        LLMTexts(LanguageModel(str(folder), layer=2), tower.template),
        LLMTexts(LanguageModel(str(folder)), replace(tower.template, template="the {}")),
        LLMTexts(LanguageModel(str(folder)), tower.template, causal=True),
    ]
    assert len({one.identity for one in (tower, *changed)}) == 5


def test_the_tower_of_an_architecture(folder, llama):
    cfg = {
        "llm": str(folder),
        "template": {"template": "see {}", "facets": [" a", " b"], "pooling": "last"},
        "layer": 2,
        "causal": True,
        "unit": True,
        "context_length": 99,
        "adapter": {"width": 32, "blocks": 2, "expansion": 3},
    }
    tower = build_llm_texts(cfg, 12, {}, False)
    assert tower.context == 99
    assert tower.template.facets == (" a", " b")
    assert tower.encode(tower.tokenize(["cat"])).shape == (1, 12)
    assert {name.split(".")[0] for name in tower.state_dict()} == {"adapter"}
    assert tower.dtype == torch.float32
    assert tower.bfloat16().encode(tower.tokenize(["cat"])).dtype == tower.dtype == torch.bfloat16


def test_gradients_reach_the_adapter_alone(folder, llama):
    tower = LLMTexts(LanguageModel(str(folder)), llm_template("bare"), TextAdapter(32, 8))
    tower.encode(tower.tokenize(["cat"])).sum().backward()
    assert all(parameter.grad is not None for parameter in tower.parameters())
    assert all(parameter.grad is None for parameter in tower.llm.model.parameters())


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        ({"template": "flam"}, "did you mean flame"),
        ({"template": {"templates": "{}"}}, "takes other arguments"),
        ({"template": {"template": "no place"}}, "holds {} once"),
        ({"template": {"template": "{}", "pooling": "max"}}, "mean or last"),
    ],
)
def test_a_template_that_cannot_be_used_is_refused(cfg, message):
    with pytest.raises(UsageError, match=message):
        build_llm_texts({"llm": "org/name", **cfg}, 8, {}, False)


def test_a_language_model_that_is_not_here_is_named_with_the_cure(tmp_path, monkeypatch, folder, llama):
    monkeypatch.setenv("DENSEVL_CACHE", str(tmp_path))
    tower = LLMTexts(LanguageModel("org/tiny-llama"), llm_template("bare"))
    with pytest.raises(WeightsError, match=r"org/tiny-llama is not on this machine; bring config.json") as caught:
        tower.tokenize(["cat"])
    with pytest.raises(WeightsError, match=f"{tmp_path}/nowhere holds no language model; put config.json"):
        LLMTexts(LanguageModel(f"{tmp_path}/nowhere"), llm_template("bare")).tokenize(["cat"])
    place = tmp_path / "weights" / "tiny-llama"
    assert f"hf download org/tiny-llama --local-dir {place}" in str(caught.value)
    place.parent.mkdir()
    place.symlink_to(folder)
    assert tower.encode(tower.tokenize(["cat"])).shape == (1, 32)


@pytest.mark.parametrize("fault", ["no weights", "half the weights", "other kind", "broken config", "no tokenizer"])
def test_a_folder_that_is_no_whole_language_model_is_named(tmp_path, folder, llama, fault):
    place = tmp_path / "damaged"
    place.mkdir()
    for path in folder.iterdir():
        (place / path.name).write_bytes(path.read_bytes())
    if fault == "no weights":
        (place / "model.safetensors").unlink()
    elif fault == "half the weights":
        state = load_file(place / "model.safetensors")
        del state["model.norm.weight"], state["model.layers.2.mlp.up_proj.weight"]
        save_file(state, place / "model.safetensors", {"format": "pt"})
    elif fault == "other kind":
        config = json.loads((place / "config.json").read_text())
        config |= {"model_type": "secret", "auto_map": {"AutoModel": "code.Secret", "AutoConfig": "code.Config"}}
        (place / "config.json").write_text(json.dumps(config))
        (place / "code.py").write_text("raise SystemExit('remote code was run')")
    elif fault == "broken config":
        (place / "config.json").write_text("{")
    else:
        (place / "tokenizer.json").unlink()
    tower = LLMTexts(LanguageModel(str(place)), llm_template("bare"))
    with pytest.raises(WeightsError, match=str(place)):
        tower.encode(tower.tokenize(["cat"]))


def test_a_block_that_the_model_does_not_have_is_refused(folder, llama):
    tower = LLMTexts(LanguageModel(str(folder), layer=39), llm_template("bare"))
    with pytest.raises(UsageError, match="has blocks 1 to 3; block 39"):
        tower.encode(tower.tokenize(["cat"]))
