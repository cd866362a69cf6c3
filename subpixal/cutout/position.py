"""Position of a cutout in its image and on the sky."""

from __future__ import annotations

import numpy as np

from subpixal.errors import NotConvergedError
from subpixal.geometry import ACCURACY, MAXITER, PixelBox, PixelGrid, offset_wcs
from subpixal.image import validate_pixel_pair, validate_position

from .extract import original_box
from .properties import column

__all__ = ["PositionMixin"]


class PositionMixin:
    """Position, size and sky of a cutout, read from and written to its row of the index."""

    DEFAULT_ACCURACY = ACCURACY
    DEFAULT_MAXITER = MAXITER
    DEFAULT_QUIET = True

    @property
    def width(self) -> int:
        """Number of pixels along x."""
        return int(self._row["width"])

    @property
    def height(self) -> int:
        """Number of pixels along y."""
        return int(self._row["height"])

    @property
    def naxis(self) -> tuple[int, int]:
        """``(width, height)``."""
        return self.width, self.height

    @property
    def shape(self) -> tuple[int, int]:
        """``(height, width)``."""
        return self.height, self.width

    @property
    def box(self) -> PixelBox:
        """The pixels of the image that the cutout stands for."""
        return PixelBox.from_shape(self.shape, self.blc)

    @property
    def blc(self) -> tuple[int, int]:
        """
        Bottom-left pixel ``(x, y)`` in the image.

        Setting it re-labels where the same pixels sit: the other corner, the
        bounding box and the WCS follow.
        """
        return int(self._row["x"]), int(self._row["y"])

    @blc.setter
    def blc(self, value) -> None:
        self._row["x"], self._row["y"] = validate_pixel_pair(value, "blc")

    @property
    def trc(self) -> tuple[int, int]:
        """
        Top-right pixel ``(x, y)`` in the image, which belongs to the cutout.

        Setting it moves the cutout, as setting `blc` does.
        """
        return self.box.trc

    @trc.setter
    def trc(self, value) -> None:
        x, y = validate_pixel_pair(value, "trc")
        self.blc = x - self.width + 1, y - self.height + 1

    dx = column(
        "dx",
        """
        Displacement of the image grid under the cutout along x, in pixels.

        Pixel x of the cutout is pixel ``x + blc[0] - dx`` of the image.
        """,
    )
    dy = column("dy", "Displacement of the image grid under the cutout along y, in pixels.")

    @property
    def origin(self) -> tuple[float, float]:
        """Position ``(x, y)`` in the image of pixel (0, 0), displacement included."""
        return self.blc[0] - self.dx, self.blc[1] - self.dy

    @property
    def src_pos(self) -> tuple[float, float]:
        """Position ``(x, y)`` of the source in the image, not rounded."""
        return float(self._row["src_x"]), float(self._row["src_y"])

    @src_pos.setter
    def src_pos(self, value) -> None:
        self._row["src_x"], self._row["src_y"] = validate_position(value, "src_pos")

    @property
    def cutout_src_pos(self) -> tuple[float, float]:
        """Position ``(x, y)`` of the source in the cutout, displacement included."""
        (x, y), (x0, y0) = self.src_pos, self.origin
        return x - x0, y - y0

    @property
    def extraction_slice(self) -> tuple[slice, slice] | None:
        """Slices ``(y, x)`` of the image that were cut, `None` if nothing was."""
        inside = self._inside
        return None if inside is None else inside.slices

    @property
    def insertion_slice(self) -> tuple[slice, slice]:
        """Slices ``(y, x)`` of the cutout that hold pixels of the image."""
        inside, (x, y) = self._inside, original_box(self._row).blc
        return (slice(0, 0), slice(0, 0)) if inside is None else inside.shift(-x, -y).slices

    @property
    def _inside(self) -> PixelBox | None:
        """Pixels of the image that were there when they were cut."""
        if self.image.shape is None:
            return None
        image = PixelBox.from_shape(self.image.shape)
        # A cutout that was cut from a cutout can have no more than that one had.
        there = self._store.own.get(self._i, {}).get("available", image)
        return original_box(self._row) & there

    @property
    def image_wcs(self):
        """WCS of the image that the cutout was cut from, by reference."""
        return self.image.wcs

    @property
    def wcs(self):
        """
        WCS of the cutout's own pixel grid, displacement included.

        An `astropy.wcs.WCS` if the image has one, a `gwcs.wcs.WCS` if the image
        has one, otherwise a wrapper. It is made when it is asked for, and for
        reading only.
        """
        key = (*self.origin, self.shape, self.image)
        if self.__dict__.get("_wcs_key") != key:
            self._wcs_made = offset_wcs(self.image_wcs, self.origin, self.shape)
            self._wcs_key = key
        return self._wcs_made

    @property
    def pscale(self) -> float:
        """
        Pixel scale in degrees.

        The square root of the pixel area at the reference point of a FITS WCS,
        at the centre of the image for others.
        """
        sky = self.image.grid
        return float(sky.pixel_scale(*sky.reference)[0])

    def pix2world(self, *args, origin: int = 0):
        """
        World values of positions in the cutout.

        Parameters
        ----------
        *args : array
            Either x and y, or one array of shape (N, 2).
        origin : {0, 1}
            What the centre of the bottom-left pixel of the cutout is called.

        Returns
        -------
        array or tuple of array
            In the form of the input; in the order and units of the low-level
            APE 14 values of the WCS.
        """
        (x, y), answer = _coordinates(args, 2, origin)
        x0, y0 = self.origin
        return answer(self.image.grid.to_world(x + (x0 - origin), y + (y0 - origin)))

    def world2pix(self, *args, origin: int = 0, accuracy=None, maxiter=None, quiet=None):
        """
        Positions in the cutout of world values, confirmed by the forward transform.

        Parameters
        ----------
        *args : array
            Either one array for each world axis, or one array of shape (N, 2),
            in the order and units of the low-level APE 14 values of the WCS.
        origin : {0, 1}
            What the centre of the bottom-left pixel of the cutout is called.
        accuracy : float, optional
            Largest error in pixels, by default ``DEFAULT_ACCURACY``.
        maxiter : int, optional
            Largest number of steps, by default ``DEFAULT_MAXITER``.
        quiet : bool, optional
            Whether a position that is not found is NaN, or raises; by default
            ``DEFAULT_QUIET``.

        Returns
        -------
        array or tuple of array
            In the form of the input.

        Raises
        ------
        NotConvergedError
            If a position is not found and ``quiet`` is false.
        """
        world, answer = _coordinates(args, len(self.image.grid.world.units), origin)
        x, y = self._find(
            world,
            accuracy=self.DEFAULT_ACCURACY if accuracy is None else accuracy,
            maxiter=self.DEFAULT_MAXITER if maxiter is None else maxiter,
        )
        lost = np.flatnonzero(np.isnan(x))
        if lost.size and not (self.DEFAULT_QUIET if quiet is None else quiet):
            msg = (
                f"source {self.src_id!r}: {lost.size} of {x.size} world positions have no "
                f"pixel position, the first is number {lost[0]}"
            )
            raise NotConvergedError(msg, lost)
        return answer((x + origin, y + origin))

    def _find(self, world, **options):
        """Positions in the cutout of world values."""
        x, y = self.image.grid.to_pixel(*world, **options)
        x0, y0 = self.origin
        x, y = np.atleast_1d(x - x0), np.atleast_1d(y - y0)
        shape = np.shape(world[0])
        lost = np.isnan(x)
        # An image does not look for what is far from it; a cutout may be there.
        if lost.any() and self.box not in PixelBox.from_shape(self.image.shape or (1, 1)):
            own = PixelGrid(self.wcs, self.shape)
            missing = [np.atleast_1d(w)[lost] for w in world]
            x[lost], y[lost] = own.to_pixel(*missing, **options)
        return x.reshape(shape), y.reshape(shape)

    def get_bbox(self, wrt: str = "orig") -> np.ndarray:
        """
        Outer corners of the corner pixels.

        Parameters
        ----------
        wrt : {'orig', 'blc', 'world'}
            In the image, in the cutout, or on the sky. Displacements count on
            the sky only.

        Returns
        -------
        array of shape (4, 2)
            ``(x1, y1)``, ``(x1, y2)``, ``(x2, y2)``, ``(x2, y1)``.
        """
        if wrt == "orig":
            return self.box.corners
        corners = PixelBox.from_shape(self.shape).corners
        if wrt == "blc":
            return corners
        if wrt == "world":
            return self.pix2world(corners)
        msg = f"wrt must be 'orig', 'blc' or 'world', got {wrt!r}"
        raise ValueError(msg)


def _coordinates(args, count: int, origin):
    """The coordinates among the arguments, and what brings an answer into their form."""
    if origin not in (0, 1):
        msg = f"origin must be 0 or 1, got {origin!r}"
        raise ValueError(msg)
    if len(args) == count:
        return np.broadcast_arrays(*(np.asarray(a, float) for a in args)), tuple
    table = np.asarray(args[0], float) if len(args) == 1 else None
    if table is None or table.ndim != 2 or table.shape[1] != count:
        shapes = [np.shape(a) for a in args]
        msg = f"give {count} arrays, or one array of shape (N, {count}); got shapes {shapes}"
        raise ValueError(msg)
    return table.T, lambda values: np.stack(values, axis=-1)
