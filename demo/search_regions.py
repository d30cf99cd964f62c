"""Find regions across a folder by words: embed it once, search as often as you like, write a contact sheet.

python demo/search_regions.py demo/images "a yellow heart" mini
"""

import sys

import densevl
from densevl.api.jobs.search import SearchJob
from densevl.core.drawing.overlay import write_image
from densevl.core.files import expand_inputs
from densevl.tasks.search import RegionIndex


def main(folder: str, query: str, name: str = "dinoiser") -> None:
    """Write ``index.safetensors`` and ``hits.png`` in the current folder."""
    model = densevl.load(name)
    paths = [item.path for item in expand_inputs([folder])]
    regions = [model.propose(path) for path in paths]
    index = RegionIndex.of(paths, regions, model.embed(paths, regions), {"name": name})
    index.save("index.safetensors")  # RegionIndex.open reads it again
    (hits,) = index.search(model.embed_texts([query]), top=10)
    for hit in hits:
        print(f"{hit.score:.3f}  {hit.image.path}  {hit.box}")
    sheet, _ = SearchJob(index, model).sheet(query, hits)
    write_image("hits.png", sheet)


if __name__ == "__main__":
    main(*sys.argv[1:])
