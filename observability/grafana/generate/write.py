"""Writes every dashboard as JSON into a folder: write.py FOLDER. The committed ones are in ../dashboards."""

import importlib
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from grafana_foundation_sdk.cog.encoder import JSONEncoder


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted((HERE / "boards").glob("*.py")):
        built = importlib.import_module(f"boards.{path.stem}").BOARD
        text = JSONEncoder(sort_keys=True, indent=2).encode(built)
        (folder / f"{path.stem}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
