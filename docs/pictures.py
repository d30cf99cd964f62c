"""Make the pictures of README and docs again: python docs/pictures.py docs/images. That of a page needs Chromium."""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import densevl
from densevl.cli import main as command
from densevl.core.drawing.overlay import write_image
from densevl.core.drawing.sheets import beside
from densevl.core.images import resize_image
from densevl.datasets.scenes import SHAPES, render
from densevl.tasks.grounding.picture import draw_ranking

GARDEN, HEART, NAMES = "demo/images/garden.png", "the heart right of the ring", ("beach", "garden", "pond")
CAT = "demo/photos/cat.png"
WORDS = "grass, brick, green ring, blue circle, yellow heart, white crescent, orange square"
BROWSER = ("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--force-device-scale-factor=1.5")
SHOT = ("--window-size=1280,720", "--virtual-time-budget=5000")


def make(out: str, work: str) -> None:
    model, read = densevl.load("mini"), densevl.read_image
    garden = read(GARDEN).repeat(2, 0).repeat(2, 1)  # large enough for sharp letters
    found = draw_ranking(garden, model.refer(garden, HEART), top=3)
    cat = densevl.load("photo").segment(resize_image(read(CAT), (768, 1155)), "cat").overlay()
    write_image(f"{out}/cat.overlay.jpg", cat)
    write_image(f"{out}/front.jpg", beside([cat, found]))
    scenes = model.segment([f"demo/images/{name}.png" for name in NAMES], densevl.Vocabulary.load("scenes"))
    write_image(f"{out}/scenes.jpg", beside([scene.overlay() for scene in scenes]))
    demo = ["demo/draw_examples.py", "--out", f"{work}/things"]
    subprocess.run([sys.executable, *demo], check=True)
    shown, taught = f"{work}/things/shown/examples.json", f"{work}/shapes.safetensors"
    crops = ["--model", "mini", "--embedder", "marked-images"]
    command(["teach", shown, *crops, "--out", taught, "--report", f"{work}/report"])
    command(["segment", f"{work}/things/new", "--classes", taught, "--out", f"{work}/maps"])
    write_image(f"{out}/taught.jpg", read(f"{work}/report/examples.png"))
    write_image(f"{out}/taught.maps.jpg", beside([read(f"{work}/maps/0{i}.overlay.png") for i in (3, 5, 6, 7)]))
    for i in range(6):
        write_image(f"{work}/in/scene {i}.png", render(0, i, size=(384, 512), split="val").image)
    command(["segment", f"{work}/in", "--vocabulary", "scenes", "--html", "--model", "mini", "--out", f"{work}/page"])
    subprocess.run([*BROWSER, *SHOT, f"--screenshot={work}/page.png", f"file://{work}/page/index.html"], check=True)
    check(work)
    search, point = ["search", "demo/images", "orange ring", "--top", "3", "--per-image", "1"], ["--point", "200,200"]
    refer = ["refer", GARDEN, HEART, "--show-prompts"]
    for line in (["segment", GARDEN, WORDS], refer, ["compare", GARDEN, WORDS, *point], search):
        command([*line, "--model", "mini", "--out", work])
    for name in (
        "page",
        "check",
        "garden.overlay",
        "garden.refer",
        "garden.marked",
        "garden.compare",
        "orange-ring.search",
    ):
        write_image(f"{out}/{name.removeprefix('orange-ring.')}.jpg", read(f"{work}/{name}.png"))


def check(work: str) -> None:
    """A page of classes that were taught six of the eight shapes, on scenes that have all of them."""
    for name, seed, shapes in (("teach", 900, 6), ("test", 901, 8)):
        records = []
        for i in range(60):
            scene = render(seed, i, split="val")
            write_image(f"{work}/{name}/{i}.png", scene.image)
            shown = [item for item in scene.objects if SHAPES.index(item.shape) < shapes]
            records += [{"image": f"{i}.png", "name": item.shape, "box": list(item.box)} for item in shown]
        Path(f"{work}/{name}/examples.json").write_text(json.dumps(records))
    classes, report = f"{work}/classes.safetensors", f"{work}/report"
    command(["teach", f"{work}/teach/examples.json", "--out", classes, "--model", "mini"])
    command(["check", classes, f"{work}/test/examples.json", "--report", report])
    size = "--window-size=1280,1640"
    subprocess.run([*BROWSER[:-1], size, f"--screenshot={work}/check.png", f"file://{report}/index.html"], check=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make the pictures of README and docs again.")
    parser.add_argument("folder", help="where they go, such as docs/images")
    with TemporaryDirectory() as between:
        make(parser.parse_args().folder, between)
