import threading
from dataclasses import replace

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from densevl.encoders.clip import CLIPEncoder
from densevl.encoders.texts.cache import TextCache

TOKENIZER = open_clip.get_tokenizer("ViT-B-32")
F32 = torch.float32


def vectors(*texts):
    return {text: torch.full((4,), float(len(text))) + torch.arange(4.0) for text in texts}


@pytest.fixture
def cache(tmp_path):
    return TextCache(tmp_path / "text")


@pytest.fixture
def file(cache):
    return cache.path("model@1", ("{}",), F32)


@pytest.fixture
def encoder(tiny_clip, cache):
    return CLIPEncoder(tiny_clip(), TOKENIZER, "tiny@1", text_cache=cache)


def equal(found, expected):
    return found.keys() == expected.keys() and all(torch.equal(found[text], expected[text]) for text in expected)


def test_what_is_added_is_read(cache, file):
    assert cache.read(file) == {}
    cache.add(file, vectors("a", "bb"))
    cache.add(file, vectors("ccc", "猫 'quoted' \"twice\"\n"))
    assert equal(cache.read(file), vectors("a", "bb", "ccc", "猫 'quoted' \"twice\"\n"))


def test_each_model_template_and_dtype_has_its_own_file(cache):
    keys = [("m@1", ("{}",), F32), ("m@2", ("{}",), F32), ("m@1", ("a {}",), F32), ("m@1", ("{}",), torch.bfloat16)]
    assert len({cache.path(*key) for key in keys}) == len(keys)
    assert cache.path("../../etc/x y", ("{}",), F32).parent == cache.folder


@pytest.mark.parametrize("damage", ["empty", "truncated", "garbage", "flipped", "other tensors", "no texts"])
def test_a_damaged_file_is_rebuilt(cache, file, damage):
    cache.add(file, vectors("a", "bb"))
    content = file.read_bytes()
    flipped = content[:-5] + bytes([content[-5] ^ 64]) + content[-4:]
    if damage in ("other tensors", "no texts"):
        name = "vectors" if damage == "no texts" else "others"
        save_file({name: torch.zeros(2, 4)}, file)
    else:
        file.write_bytes(
            {"empty": b"", "truncated": content[:-7], "garbage": b"\xff" * 200, "flipped": flipped}[damage]
        )
    assert cache.read(file) == {}
    cache.add(file, vectors("ccc"))
    assert equal(cache.read(file), vectors("ccc"))


def test_readers_of_a_file_that_others_replace_by_a_smaller_one_see_a_whole_one(cache, file):
    def write():
        for step in range(24):
            few = replace(cache, max_texts=1 + 99 * (step % 2))
            few.add(file, {f"{step} {number}": torch.ones(4) for number in range(100)})

    def read():
        while writer.is_alive():
            assert {vector.shape for vector in cache.read(file).values()} <= {(4,)}

    failures = []
    writer = threading.Thread(target=lambda: _note(failures, lambda _: write(), 0))
    readers = [threading.Thread(target=lambda: _note(failures, lambda _: read(), 0)) for _ in range(2)]
    for thread in (writer, *readers):
        thread.start()
    for thread in (writer, *readers):
        thread.join()
    assert not failures


def test_writers_at_the_same_time_leave_a_whole_file(cache, file):
    def write(number):
        for step in range(10):
            cache.add(file, vectors(f"{number}-{step}"))
            assert all(len(vector) == 4 for vector in cache.read(file).values())

    failures = []
    threads = [threading.Thread(target=lambda n=n: _note(failures, write, n)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    found = cache.read(file)
    assert found
    assert equal(found, vectors(*found))
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def _note(failures, write, number):
    try:
        write(number)
    except BaseException as error:
        failures.append(error)


def test_a_file_keeps_the_newest_texts(tmp_path):
    cache = TextCache(tmp_path, max_texts=3)
    file = cache.path("m", ("{}",), F32)
    cache.add(file, vectors("a", "bb"))
    cache.add(file, vectors("ccc", "dddd"))
    assert list(cache.read(file)) == ["bb", "ccc", "dddd"]


def test_the_folder_stays_below_its_limit(tmp_path):
    cache = TextCache(tmp_path, max_bytes=4000)
    files = [cache.path(f"model {number}", ("{}",), F32) for number in range(6)]
    for file in files:
        cache.add(file, {"text": torch.zeros(300)})
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 4000
    assert files[-1].is_file()
    assert not files[0].exists()


def test_texts_are_embedded_once(encoder, tiny_clip, cache):
    first = encoder.embed_texts(["cat", "dog"], ("a {}",))
    with torch.no_grad():
        encoder.model.token_embedding.weight.fill_(torch.nan)
    assert torch.equal(encoder.embed_texts(["dog", "cat", "dog"], ("a {}",)), first[[1, 0, 1]])
    assert encoder.embed_texts(["cat"], ("the {}",)).isnan().all()
    other = CLIPEncoder(tiny_clip(), TOKENIZER, "tiny@1", text_cache=cache)
    assert torch.equal(other.embed_texts(["cat", "bird"], ("a {}",))[0], first[0])


def test_without_a_cache_nothing_is_kept(tiny_clip, tmp_path, monkeypatch):
    monkeypatch.setenv("DENSEVL_CACHE", str(tmp_path))
    CLIPEncoder(tiny_clip(), TOKENIZER, "tiny@1").embed_texts(["cat"])
    assert not list(tmp_path.iterdir())


def test_the_folder_is_that_of_densevl(tmp_path, monkeypatch):
    monkeypatch.setenv("DENSEVL_CACHE", str(tmp_path))
    assert TextCache().path("m", ("{}",), F32).parent == tmp_path / "text"


def test_a_folder_that_cannot_be_written_costs_a_warning(tiny_clip, tmp_path):
    (tmp_path / "text").write_text("a file where the folder should be")
    encoder = CLIPEncoder(tiny_clip(), TOKENIZER, "tiny@1", text_cache=TextCache(tmp_path / "text"))
    with pytest.warns(UserWarning, match="not kept"):
        found = encoder.embed_texts(["cat"])
    torch.testing.assert_close(found, CLIPEncoder(tiny_clip(), TOKENIZER, "tiny@1").embed_texts(["cat"]))
