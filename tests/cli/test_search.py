"""``densevl search`` end to end, with the shipped mini models."""

import json

import cv2
import pytest
from PIL import Image

from densevl.cli import main
from densevl.datasets.scenes import render


@pytest.fixture(scope="module")
def scenes():
    """Three pictures whose objects all have different names."""
    chosen, names = [], set()
    for scene in (render(8, index, size=128, count=(2, 2), zoom=1.5) for index in range(100)):
        found = {item.name for item in scene.objects}
        if len(chosen) < 3 and len(found) == 2 and not found & names and min(i.visible for i in scene.objects) == 1:
            chosen.append(scene)
            names |= found
    return chosen


@pytest.fixture(scope="module")
def world(tmp_path_factory, scenes):
    """The pictures, and an index of their true boxes by pooling MaskCLIP's features."""
    folder = tmp_path_factory.mktemp("search")
    (folder / "photos").mkdir()
    boxes = {"images": [], "annotations": []}
    for number, scene in enumerate(scenes):
        Image.fromarray(scene.image).save(folder / "photos" / f"{number}.png")
        boxes["images"].append({"id": number, "file_name": f"{number}.png"})
        for x0, y0, x1, y1 in (item.box for item in scene.objects):
            boxes["annotations"].append({"image_id": number, "bbox": [x0, y0, x1 - x0, y1 - y0]})
    (folder / "boxes.json").write_text(json.dumps(boxes))
    options = ["--boxes", folder / "boxes.json", "--model", "mini-maskclip", "--out", folder / "index"]
    assert main(["embed", str(folder / "photos"), *map(str, options)]) == 0
    return folder


@pytest.fixture
def search(world, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        return main(["search", *map(str, [world / "index", *arguments])])

    return run


def test_words_find_the_region_that_they_name(search, scenes, tmp_path, capsys):
    names = [item.name for scene in scenes for item in scene.objects]
    assert search(*names, "--json", "--no-sheet") == 0
    answers = json.loads(capsys.readouterr().out)["queries"]
    objects = [(number, item) for number, scene in enumerate(scenes) for item in scene.objects]
    assert [answer["query"] for answer in answers] == names
    first = [answer["hits"][0] for answer in answers]
    right = [
        hit["image"].endswith(f"{number}.png") and hit["box"] == list(map(float, item.box))
        for hit, (number, item) in zip(first, objects, strict=True)
    ]
    assert sum(right) >= 5, "of six"
    assert not list(tmp_path.iterdir())


def test_two_things_are_found_together(search, scenes, capsys):
    for number, scene in enumerate(scenes):
        first, second = (item.name for item in scene.objects)
        assert search(f"the {first} and the {second}", "--compose", "--json", "--no-sheet", "--top", 1) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["compose"] is True
        (hit,) = found["queries"][0]["hits"]
        assert hit["image"].endswith(f"{number}.png")
        assert hit["box"] == list(map(float, scene.objects[0].box))
    for arguments in (("--like", "x.png"), ("a ring", "--faiss", "flat")):
        assert search("--compose", *arguments) == 2
        assert "give words, and no --faiss or --classes" in capsys.readouterr().err


def test_a_class_in_free_text_lets_its_own_regions_count(search, scenes, capsys):
    names = [item.name for scene in scenes for item in scene.objects]
    found = []
    for name in names[:2]:
        assert search(name, "--class", name, "--among", ",".join(names), "--json", "--no-sheet") == 0
        hits = json.loads(capsys.readouterr().out)["queries"][0]["hits"]
        assert 1 <= len(hits) < 6
        found += [(hit["image"], tuple(hit["box"])) for hit in hits]
    assert len(found) == len(set(found)), "each region is of one class"


def test_the_sheet_shows_the_hits(search, scenes, tmp_path, capsys):
    name = scenes[0].objects[0].name
    assert search("--top", 4, "--html", name) == 0, "options may stand before the words"
    printed = capsys.readouterr().out
    path = tmp_path / "out" / f"{name.replace(' ', '-')}.search.png"
    assert printed.splitlines()[0] == name
    assert len(printed.splitlines()) == 7
    assert printed.splitlines()[-2:] == [str(path.relative_to(tmp_path)), "out/index.html"]
    assert (tmp_path / "out" / "index.html").is_file()
    assert cv2.imread(str(path)).shape[1] > 4 * 176


def test_an_example_finds_itself_and_what_is_like_it(search, world, scenes, capsys):
    item = scenes[1].objects[0]
    box = ",".join(map(str, item.box))
    assert search("--like", world / "photos" / "1.png", "--box", box, "--json") == 0
    (answer,) = json.loads(capsys.readouterr().out)["queries"]
    assert answer["query"].startswith("like 1.png (")
    assert answer["hits"][0]["box"] == list(map(float, item.box))
    assert answer["hits"][0]["score"] == pytest.approx(1, abs=1e-4)
    assert search("--like", world / "photos" / "1.png", "--json", "--per-image", 1) == 0
    hits = json.loads(capsys.readouterr().out)["queries"][0]["hits"]
    assert len({hit["image"] for hit in hits}) == len(hits) == 3


def test_a_folder_is_embedded_once(world, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DENSEVL_CACHE", str(tmp_path / "cache"))
    photos = tmp_path / "photos"
    photos.mkdir()
    for path in (world / "photos").iterdir():
        (photos / path.name).write_bytes(path.read_bytes())
    command = ["search", "photos", "red ring", "--model", "mini-maskclip", "--json", "--no-sheet"]
    assert main(command) == 0
    first = json.loads(capsys.readouterr().out)

    from densevl.api.model import Model

    def embeds(*_):
        raise RuntimeError("nothing is embedded a second time")

    monkeypatch.setattr(Model, "embed_regions", embeds)
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out) == first
    (photos / "1.png").unlink()
    assert main(command) == 0
    left = json.loads(capsys.readouterr().out)["queries"][0]["hits"]
    assert {hit["image"] for hit in left} <= {str(photos / "0.png"), str(photos / "2.png")}
    assert not (tmp_path / "out").exists()


def test_a_query_that_cannot_be_asked_is_said_before_a_folder_is_embedded(world, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = ["search", world / "photos", "x" * 300, "--model", "mini-maskclip", "--index", tmp_path / "kept"]
    assert main([*map(str, command)]) == 2
    assert "tokens" in capsys.readouterr().err
    assert not (tmp_path / "kept").exists()


def test_an_index_is_searched_with_the_settings_that_made_it(world, tmp_path, monkeypatch, capsys):
    """The example finds itself only where it is embedded as it was; the box is found again by its own settings."""
    from densevl.api import loading

    monkeypatch.chdir(tmp_path)
    arguments = ["--model", "mini-maskclip", "--set", "short_side=64", "--regions", "whole", "--out", "index"]
    assert main(["embed", str(world / "photos"), *arguments]) == 0
    loaded, load = [], loading.load
    monkeypatch.setattr(loading, "load", lambda name, **rest: loaded.append((name, rest)) or load(name, **rest))
    assert main(["search", "index", "--like", str(world / "photos" / "1.png"), "--json", "--no-sheet"]) == 0
    assert json.loads(capsys.readouterr().out.split("\n", 1)[1])["queries"][0]["hits"][0]["score"] > 0.9999
    assert main(["search", "index", "ring", "--no-sheet", "--set", "short_side=96", "--set", "templates=none"]) == 0
    names, changes = zip(*((name, rest.get("short_side")) for name, rest in loaded), strict=True)
    assert names == ("mini-maskclip", "mini-maskclip")
    assert changes == (64, 96)


def test_images_that_have_moved_are_named(search, world, tmp_path, capsys):
    moved = world / "photos" / "2.png"
    content = moved.read_bytes()
    try:
        moved.rename(tmp_path / "2.png")
        assert search("red ring") == 0
    finally:
        moved.write_bytes(content)
    printed = capsys.readouterr()
    assert "1 images are missing or have changed" in printed.err
    assert "2.png" in printed.err
    assert (tmp_path / "out" / "red-ring.search.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to search for"),
        ([""], "a query is empty"),
        (["ring", "--like", "{photos}/0.png"], "got both"),
        (["--box", "1,2,3,4", "ring"], "give its image with --like"),
        (["--like", "{photos}/0.png", "--box", "500,0,600,9"], "outside"),
        (["--like", "{photos}/0.png", "--box", "50,20,10,60"], "reversed"),
        (["--like", "{photos}/0.png", "--box", "nan,0,9,9"], "not finite"),
        (["ring", "--model", "mini"], "the index was made by 'mini-clip@"),
        (["ring", "--model", "minni"], "did you mean mini"),
        (["ring", "--overlap", "3"], "between 0 and 1"),
        (["ring", "--faiss", "hnws"], "did you mean hnsw"),
        (["--build"], "name its kind, such as --approximate ivf-pq"),
        (["ring", "--class", "gadget"], "say what else there is with --among"),
        (["ring", "--among", "cat, dog"], "--among is the list that --class NAME is one of"),
        (["ring", "--among", "cat", "--class", "cat"], "--among needs two classes or more"),
        (["ring", "--among", "cat, dog", "--class", "dgo"], "class 'dgo' is none of --among; did you mean dog"),
        (["ring", "--image", "*.jpeg"], "no image of the index matches '*.jpeg'"),
        (["ring", "--folder", "nowhere"], "has no image in the folder nowhere"),
        (["ring", "--min-score", "0.5"], "no region of this index has a score"),
        (["dog " * 200], "tokens"),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(search, world, tmp_path, capsys, arguments, message):
    assert search(*[text.format(photos=world / "photos") for text in arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("densevl: error: ")
    assert error.count("\n") == 1
    assert message in error
    assert not (tmp_path / "out").exists()


def test_what_is_no_index_is_said(world, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert main(["search", "empty", "ring"]) == 2
    assert "no image" in capsys.readouterr().err
    part = next((world / "index").glob("part-*"))
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / part.name).write_bytes(part.read_bytes()[:300])
    assert main(["search", "cut", "ring"]) == 2
    assert "is damaged or cut off" in capsys.readouterr().err


def test_faiss_answers_as_the_exact_search(search, world, capsys):
    pytest.importorskip("faiss")
    assert search("ring", "--json", "--no-sheet") == 0
    exact = json.loads(capsys.readouterr().out)
    assert search("ring", "--json", "--no-sheet", "--faiss", "flat") == 0
    printed = capsys.readouterr()
    assert "100.0%" in printed.err
    found = json.loads(printed.out)["queries"][0]["hits"]
    assert [hit["box"] for hit in found] == [hit["box"] for hit in exact["queries"][0]["hits"]]
    assert (world / "index" / "faiss-flat.index").is_file()


def test_some_images_alone_count_and_an_approximate_index_is_built_ahead(search, world, capsys):
    pytest.importorskip("faiss")
    assert search("--approximate", "ivf-pq", "--build") == 0
    assert "ivf-pq finds " in capsys.readouterr().err
    assert (world / "index" / "faiss-ivf-pq.index").is_file()
    for more in ([], ["--approximate", "ivf-pq"]):
        assert search("ring", "--json", "--no-sheet", "--image", "1.*", "--folder", world / "photos", *more) == 0
        hits = json.loads(capsys.readouterr().out)["queries"][0]["hits"]
        assert {hit["image"] for hit in hits} == {str(world / "photos" / "1.png")}


@pytest.mark.slow
def test_the_mini_model_from_pictures_to_hits(world, scenes, tmp_path, monkeypatch, capsys):
    """Proposals of the mini SAM, the prompter, and text: the first hit of most names is the right one."""
    monkeypatch.chdir(tmp_path)
    names = [item.name for scene in scenes for item in scene.objects]
    photos = str(world / "photos")
    assert main(["search", photos, *names, "--model", "mini", "--json", "--index", "kept", "--top", "1"]) == 0
    answers = json.loads(capsys.readouterr().out)["queries"]
    objects = [(number, item) for number, scene in enumerate(scenes) for item in scene.objects]
    from densevl.core.geometry import box_ious

    right = [
        answer["hits"][0]["image"].endswith(f"{number}.png") and box_ious([answer["hits"][0]["box"]], item.box)[0] > 0.5
        for answer, (number, item) in zip(answers, objects, strict=True)
    ]
    assert sum(right) >= 4, "of six"
    assert all("mask" in answer["hits"][0] for answer in answers)


def test_neighbours_say_what_an_example_is(search, world, scenes, tmp_path, capsys):
    names = [
        {"image": str(world / "photos" / f"{number}.png"), "box": list(map(int, item.box)), "name": item.shape}
        for number, scene in enumerate(scenes)
        for item in scene.objects
    ]
    (tmp_path / "names.json").write_text(json.dumps(names))
    box = ",".join(map(str, scenes[1].objects[0].box))
    like = ["--like", world / "photos" / "1.png", "--box", box, "--labels", tmp_path / "names.json", "--no-sheet"]
    assert search(*like, "--json") == 0
    answer = json.loads(capsys.readouterr().out)["queries"][0]["answer"]
    assert len(answer["neighbours"]) == 6
    assert answer["neighbours"][0]["name"] == scenes[1].objects[0].shape
    assert answer["neighbours"][0]["score"] == pytest.approx(1, abs=1e-4)
    assert sum(answer["shares"].values()) == pytest.approx(1, abs=1e-4)
    totals = {}
    for one in answer["neighbours"]:
        totals[one["name"]] = totals.get(one["name"], 0) + max(one["score"], 0)
    share = max(totals.values()) / sum(totals.values())
    assert answer["confidence"] == pytest.approx(share, abs=1e-4)
    assert search(*like) == 0
    assert "of its 6 nearest neighbours with a name: " in capsys.readouterr().out
    (tmp_path / "names.json").write_text(json.dumps([{**names[0], "box": [0, 0, 3, 3]}]))
    assert search(*like) == 2
    assert "no region of the index gets a name from the 1 examples" in capsys.readouterr().err
    assert search("a ring", "--labels", tmp_path / "names.json") == 2
    assert "--labels says what an example is; give its image with --like" in capsys.readouterr().err
