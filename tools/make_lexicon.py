"""Write the words of ImageNet's classes as the photo model reads them: python tools/make_lexicon.py FOLDER

FOLDER holds the files of WordNet 3.0 (``data.noun``, ``index.noun``, ``noun.exc``), such as /usr/share/wordnet of the
Debian package wordnet-base. The same files give the same bytes.
"""

import argparse
import gzip
import json
import sys
from pathlib import Path

from timm.data import ImageNetInfo

from densevl.core.errors import DensevlError
from densevl.core.files import atomic_write
from densevl.datasets.converters.wordnet import lexicon_data


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the words of ImageNet's classes.")
    parser.add_argument("folder", type=Path, help="WordNet 3.0's files")
    parser.add_argument("--out", type=Path, default=Path("densevl/data/lexicon/wordnet.json.gz"), metavar="FILE")
    options = parser.parse_args()
    try:
        data = lexicon_data(options.folder, ImageNetInfo().label_names())
        with atomic_write(options.out) as temporary:
            temporary.write_bytes(gzip.compress(json.dumps(data, separators=(",", ":")).encode(), mtime=0))
    except DensevlError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{options.out}: {len(data['senses'])} words for {len(data['classes'])} classes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
