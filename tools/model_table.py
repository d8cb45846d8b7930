"""Write docs/sizes.md: parameters and multiply-accumulates of every model, counted, beside the published figures.

python tools/model_table.py docs/sizes.md
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pipelines.listing import model_rows

HEAD = """# Sizes, counted and published

Counted on the built models by `python tools/model_table.py docs/sizes.md`; "published" is what the authors print.
Papers call multiply-accumulates of one view FLOPs. MeMViT is counted in its steady state, with all of its memory.

| model | parameters | published | G multiply-accumulates | published | published accuracy |
|---|---|---|---|---|---|
"""
NOTES = """
Where the two differ:

- Papers count LayerNorm (five operations a value) and, for MeMViT, the compression in layers whose memory no one reads:
  a few tenths of a per cent.
- The published size of MeMViT, 35.4 M and 52.6 M, is that of a classifier of 400 classes with memory; the AVA models
  have 80 classes and a box block of 7.1 M parameters besides.
- `mvitv2_l.in1k`: the 42.1 G of the official table is the variant with a cls token whose width grows in attention, as
  released for in21k. The released in1k file is the other one; OpenMMLab, too, counts 43.9 G for it.
- `mvitv2_l_40x3.k400`: 217.6 M is a misprint; the file has 213.4 M, and OpenMMLab says 213 M.
"""


def line(row: dict[str, Any]) -> str:
    """One model as a row of Markdown."""
    published = row["published_million_parameters"], row["published_gmacs"]
    parameters, gmacs = ("" if value is None else f"{value:g}" for value in published)
    return (
        f"| `{row['name']}` | {row['parameters']:,} | {parameters}{' M' if parameters else ''} | "
        f"{row['macs'] / 1e9:.2f} | {gmacs} | {row['published_accuracy']} |"
    )


def main() -> None:
    """Count everything and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", type=Path)
    target: Path = parser.parse_args().target
    target.write_text(HEAD + "\n".join(line(row) for row in model_rows("*")) + "\n" + NOTES)
    print(f"wrote {target}")


if __name__ == "__main__":
    main()
