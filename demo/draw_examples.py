"""Draw scenes with an arrow among known shapes, which the mini models were never shown, and the boxes that teach it.

python demo/draw_examples.py --out things
"""

import argparse
import json
from pathlib import Path

from densevl.core.drawing.overlay import write_image
from densevl.datasets.scenes import render


def main() -> None:
    """Write ``shown/`` with ``examples.json``, boxes of ten arrows and of what lies round them, and ``new/``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("things"), help="folder of both (default: %(default)s)")
    parser.add_argument("--arrows", type=int, default=10, help="examples of an arrow (default: %(default)s)")
    parser.add_argument("--count", type=int, default=8, help="scenes without boxes (default: %(default)s)")
    options = parser.parse_args()
    records, index = [], 0
    while sum(record["name"] == "arrow" for record in records) < options.arrows:
        scene, name = render(5, index, (192, 256), "val", (2, 4), new_shapes=True), f"{index:02}.png"
        write_image(options.out / "shown" / name, scene.image)
        records += [{"image": name, "name": item.shape, "box": item.box} for item in scene.objects]
        index += 1
    (options.out / "shown" / "examples.json").write_text(json.dumps(records, indent=1))
    for index in range(options.count):
        scene = render(6, index, (192, 256), "val", (2, 4), new_shapes=True)
        write_image(options.out / "new" / f"{index:02}.png", scene.image)
    print(f"{len(records)} boxes in {options.out / 'shown'}, {options.count} new images in {options.out / 'new'}")


if __name__ == "__main__":
    main()
