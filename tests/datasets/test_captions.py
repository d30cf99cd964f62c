import json

import pytest

from densevl.core.errors import UsageError
from densevl.datasets.captions import read_captions

TEXTS = ["a dog on grass", "two cats"]


def test_captions_of_text_lists_and_coco(tmp_path):
    (tmp_path / "a.txt").write_text("a dog on grass\n\n two cats \n")
    (tmp_path / "b.json").write_text(json.dumps(TEXTS))
    (tmp_path / "c.json").write_text(json.dumps({"annotations": [{"image_id": 1, "caption": text} for text in TEXTS]}))
    assert list(read_captions([tmp_path / name for name in ("a.txt", "b.json", "c.json")])) == TEXTS * 3


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"\n", "there are none"),
        ("a.json", b"{}", "there are none"),
        ("a.json", b"{", "not JSON"),
        ("a.txt", b"\xff\xfe", "not UTF-8"),
    ],
)
def test_files_without_captions_are_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=message):
        list(read_captions([tmp_path / name]))
    with pytest.raises(UsageError, match="No such file"):
        list(read_captions([tmp_path / "missing.txt"]))
