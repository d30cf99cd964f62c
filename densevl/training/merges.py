"""Learns the merges of the mini tokenizer (Sennrich et al., Neural Machine Translation of Rare Words, ACL 2016).

Run as ``python -m densevl.training.merges`` to write ``densevl/data/mini/merges.txt.gz`` anew. The corpus is the words
of the scenes, each of which becomes one token, then common English words for the letter groups of other texts.
"""

import gzip
import itertools
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from densevl.core.files import atomic_write
from densevl.datasets.scenes import CLASSES

__all__ = ["ENGLISH", "SCENE_WORDS", "learn_merges"]

SCENE_WORDS = (
    " ".join(CLASSES) + " shape small medium large a an the of on and with in at to is it this that photo picture image"
    " drawing painting scene there are left right above below leftmost rightmost highest lowest largest smallest"
)
ENGLISH = (
    "people person man woman child hand head face animal dog cat bird horse sheep cow elephant bear zebra giraffe "
    "car bus train truck boat bicycle motorcycle airplane street road building house wall window door floor "
    "ceiling table chair sofa bed lamp book bottle cup plate food fruit apple orange banana cake pizza bread tree "
    "plant flower leaf mountain river lake sea beach snow sky cloud sun moon rock ground field fence bridge tower "
    "sign light traffic pole sidewalk background other another something nothing thing things stuff object "
    "objects color colour black white grey gray brown pink yellow purple dark bright clean dirty good bad cropped "
    "close blurry pixelated corrupted sculpture rendition cartoon origami embroidered plastic plush toy tattoo "
    "graffiti sketch doodle art video game jpeg low resolution nice cool weird hard see many one my your its they "
    "them have has been which their would were about could first after work computer keyboard mouse screen "
    "television phone refrigerator oven microwave sink toilet mirror curtain carpet paper water surface rider "
    "vegetation terrain transport station market kitchen office school church hotel restaurant"
)

TARGET = Path(__file__).parents[1] / "data" / "mini" / "merges.txt.gz"


def learn_merges(words: Mapping[str, int], count: int) -> list[tuple[str, str]]:
    """The most frequent pairs of neighbouring symbols, merged one after the other.

    Args:
        words: how often each word occurs; single bytes above ASCII are not merged.
        count: greatest number of merges; learning ends early where no pair is left.
    """
    spelled = {word: [*word[:-1], word[-1] + "</w>"] for word in words}
    merges: list[tuple[str, str]] = []
    while len(merges) < count:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, symbols in spelled.items():
            for pair in itertools.pairwise(symbols):
                pairs[pair] += words[word]
        if not pairs:
            break
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        spelled = {word: _merged(symbols, best) for word, symbols in spelled.items()}
    return merges


def _merged(symbols: list[str], pair: tuple[str, str]) -> list[str]:
    merged: list[str] = []
    for symbol in symbols:
        if merged and (merged[-1], symbol) == pair:
            merged[-1] += symbol
        else:
            merged.append(symbol)
    return merged


def main() -> None:
    counts = Counter(re.findall("[a-z]+", SCENE_WORDS))
    scene = learn_merges(dict.fromkeys(counts, 1000), 10_000)
    english = Counter(re.findall("[a-z]+", ENGLISH))
    # A symbol may be reached in one way only, or the numbers of open_clip's vocabulary would have holes.
    unique: dict[str, tuple[str, str]] = {}
    for pair in scene + learn_merges(english, 500):
        unique.setdefault("".join(pair), pair)
    merges = list(unique.values())
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    with atomic_write(TARGET) as temporary:
        temporary.write_bytes(gzip.compress("\n".join(lines).encode(), mtime=0))


if __name__ == "__main__":
    main()
