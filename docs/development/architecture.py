"""
Draw the packages of subpixal, one above the other, as docs/development/architecture.svg.

Run ``python docs/development/architecture.py`` after a change of `PACKAGES`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

WIDTH = 860  # all lengths are in pixels
LINE = 34  # height of a box without parts
GAP = 10
COLORS = ("#ffffff", "#e8eef7", "#ffffff")  # by depth
PICTURE = Path(__file__).with_suffix(".svg")


@dataclass(frozen=True)
class Box:
    """
    A package or module.

    Attributes
    ----------
    name, text : str
        The name in bold, and a few words about the contents.
    steps : str
        Numbers of the steps in architecture.rst that take place here, separated by blanks.
    rows : tuple of tuple of Box
        Parts of the package, from top to bottom.
    """

    name: str
    text: str
    steps: str = ""
    rows: tuple[tuple[Box, ...], ...] = ()

    @property
    def height(self) -> int:
        """Height in pixels, including the parts."""
        return LINE + sum(max(box.height for box in row) + GAP for row in self.rows)


PACKAGES = (
    (Box("cli", "the command subpixal"),),
    (Box("batch", "many exposures, in parallel"),),
    (
        Box(
            "io",
            "files",
            rows=(
                (
                    Box("readers, catalogs", "images and tables", "1"),
                    Box("connect", "formats of astropy's registry"),
                ),
                (
                    Box("_fits", "FITS files: read and write"),
                    Box("_asdf", "archives", "9"),
                ),
                (Box("_missions", "names of extensions, flags and keywords of each mission"),),
                (Box("paths", "names of files, atomic writes, remote files"),),
            ),
        ),
    ),
    (Box("plotting", "galleries"), Box("testing", "comparison of cutouts")),
    (
        Box(
            "cutout",
            "the objects: Cutout, CutoutCollection, Stack",
            "8",
            rows=(
                (
                    Box(
                        "_create", "the create_* functions: catalog, labels, boxes, pixels", "3 4 6"
                    ),
                ),
                (
                    Box("collection", "many cutouts"),
                    Box("cutout", "one cutout"),
                    Box("stack, measure, epsf", "results"),
                ),
                (Box("storage", "columns and planes of all cutouts of an image", "7"),),
            ),
        ),
    ),
    (Box("image", "an image to cut: planes, masks, units, lazy arrays", "2"),),
    (Box("geometry", "boxes, WCS adapters, mapping of pixels between images", "5"),),
    (Box("datasets", "simulated scenes"), Box("errors", "exceptions")),
)


def draw_box(box: Box, x: float, y: float, width: float, depth: int) -> list[str]:
    """Return the SVG elements of a box and its parts."""
    elements = [
        (
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{box.height}" rx="5" '
            f'fill="{COLORS[depth]}" stroke="#5b6b82"/>'
        ),
        (
            f'<text x="{x + 12:g}" y="{y + 22:g}">'
            f'<tspan font-weight="bold">{escape(box.name)}</tspan>'
            f'<tspan dx="10" fill="#44505f">{escape(box.text)}</tspan></text>'
        ),
    ]
    for i, step in enumerate(reversed(box.steps.split())):
        center = x + width - 20 - 26 * i
        elements += [
            f'<circle cx="{center:g}" cy="{y + 17:g}" r="11" fill="#c2410c"/>',
            f'<text x="{center:g}" y="{y + 22:g}" fill="#fff" text-anchor="middle">{step}</text>',
        ]
    return elements + draw_rows(box.rows, x + GAP, y + LINE, width - 2 * GAP, depth + 1)


def draw_rows(rows, x: float, y: float, width: float, depth: int) -> list[str]:
    """Return the SVG elements of rows of boxes."""
    elements = []
    for row in rows:
        part = (width - GAP * (len(row) - 1)) / len(row)
        for i, box in enumerate(row):
            elements += draw_box(box, x + i * (part + GAP), y, part, depth)
        y += max(box.height for box in row) + GAP
    return elements


def draw() -> str:
    """Return the whole picture as SVG."""
    house = Box("subpixal", "a package imports only packages below it", rows=PACKAGES)
    elements = draw_box(house, 1, 1, WIDTH - 2, 0)
    return "\n".join(
        [
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {house.height + 2}" '
                'font-family="sans-serif" font-size="14" role="img">'
            ),
            "<title>Packages of subpixal</title>",
            *elements,
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    PICTURE.write_text(draw(), "utf-8")
