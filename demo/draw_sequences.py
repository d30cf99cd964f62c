"""Draw sequences of two things: folders of frames that teach near misses, and others that they are tried on.

python demo/draw_sequences.py --out clips --each 1
densevl teach clips/shown --for sequences --out clips/near.safetensors --model mini
densevl check clips/near.safetensors clips/new --report clips/report
"""

import argparse
from pathlib import Path

from densevl.core.drawing.overlay import write_image
from densevl.datasets.scenes.sequences import KINDS, draw_sequence


def main() -> None:
    """Write the frames, a folder a sequence in a folder a kind."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--out", type=Path, default=Path("clips"), help="folder of the sequences (default: %(default)s)"
    )
    parser.add_argument("--each", type=int, default=8, help="sequences of each kind that teach (default: %(default)s)")
    options = parser.parse_args()
    for part, seed, count in (("shown", 0, options.each), ("new", 1, max(1, options.each // 2))):
        for index in range(count * len(KINDS)):
            drawn = draw_sequence(seed, index)
            folder = options.out / part / drawn.kind.replace(" ", "_") / f"{index:03}"
            for number, frame in enumerate(drawn.frames):
                write_image(folder / f"{number}.png", frame)
        print(f"{count} sequences of each of {', '.join(KINDS)} in {options.out / part}")


if __name__ == "__main__":
    main()
