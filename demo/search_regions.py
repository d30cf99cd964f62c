"""Find regions across images by words: embed them once, search as often as you like, write a contact sheet.

python demo/search_regions.py demo/images "a yellow heart" --out out
"""

import argparse
from pathlib import Path

import densevl
from densevl.api.jobs.search import SearchJob
from densevl.core.drawing.overlay import write_image
from densevl.core.files import expand_inputs
from densevl.tasks.search import RegionIndex


def main() -> None:
    """Print the ten best regions; write the index and a picture of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", help="a folder, a glob or an image file")
    parser.add_argument("query", help='what to find, such as "a yellow heart"')
    parser.add_argument("--model", default="mini", help="a name from `densevl models` (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder of the results (default: %(default)s)")
    options = parser.parse_args()
    model = densevl.load(options.model)
    paths = [item.path for item in expand_inputs([options.images], exclude=options.out)]
    regions = [model.propose(path) for path in paths]
    index = RegionIndex.of(paths, regions, model.embed(paths, regions), {"name": options.model})
    index.save(options.out / "index.safetensors")  # RegionIndex.open reads it again
    (hits,) = index.search(model.embed_texts([options.query]), top=10)
    for hit in hits:
        print(f"{hit.score:.3f}  {hit.image.path}  {hit.box}")
    sheet, _ = SearchJob(index, model).sheet(options.query, hits)
    write_image(options.out / "hits.png", sheet)


if __name__ == "__main__":
    main()
