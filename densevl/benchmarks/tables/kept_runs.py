"""Results of the single runs of a table that takes long, kept in a folder, so that it goes on where it stopped."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from densevl.core.files import atomic_write, parse_json

__all__ = ["KeptRuns"]


class KeptRuns:
    """Results of runs, one JSON file each.

    Args:
        folder: of the files; None to keep nothing.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = None if folder is None else Path(folder)

    def __call__(self, name: str, settings: Mapping[str, Any], run: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        """What a run gave, from its file where it was run with the same settings, or else by running it.

        Args:
            name: of the run, unique in the folder.
            settings: everything that decides the result; JSON values only.
            run: gives the result; JSON values only.

        Raises:
            OutputError: where the result cannot be written.
        """
        if self.folder is None:
            return dict(run())
        file = self.folder / (re.sub(r"[^\w.-]+", "-", name) + ".json")
        wanted = json.loads(json.dumps(settings))
        if file.is_file():
            try:
                kept = parse_json(file.read_text(encoding="utf-8"))
                if kept["settings"] == wanted:
                    return dict(kept["result"])
            except (ValueError, KeyError, TypeError):  # damaged, so that it counts as none
                pass
        result = dict(run())
        with atomic_write(file) as temporary:
            text = json.dumps({"settings": wanted, "result": result}, indent=1, ensure_ascii=False)
            temporary.write_text(text + "\n", encoding="utf-8")
        return result
