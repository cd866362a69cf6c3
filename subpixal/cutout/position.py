"""Position of a cutout in its image and on the sky."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from subpixal.errors import NotConvergedError
from subpixal.geometry import ACCURACY, MAXITER, PixelBox, PixelGrid, offset_wcs
from subpixal.image import validate_pixel_pair, validate_position

from .extract import original_box
from .properties import StoredCutout, column_property

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    FloatArray = NDArray[np.float64]

__all__ = ["PositionMixin"]


class PositionMixin(StoredCutout):
    """Position and size of a cutout, and the conversion between pixels and world values."""

    DEFAULT_ACCURACY = ACCURACY
    DEFAULT_MAXITER = MAXITER
    DEFAULT_QUIET = True

    @property
    def naxis(self) -> tuple[int, int]:
        """``(width, height)``."""
        return self.width, self.height

    @property
    def box(self) -> PixelBox:
        """Box of the cutout in the image."""
        return PixelBox.from_shape(self.shape, self.blc)

    @property
    def blc(self) -> tuple[int, int]:
        """
        Bottom-left pixel ``(x, y)`` in the image.

        Assigning a value moves the cutout. The pixels do not change; the other corner, the bounding
        box and the WCS move with the cutout.
        """
        return int(self._columns["x"]), int(self._columns["y"])

    @blc.setter
    def blc(self, value: tuple[int, int]) -> None:
        self._columns["x"], self._columns["y"] = validate_pixel_pair(value, "blc")

    @property
    def trc(self) -> tuple[int, int]:
        """
        Top-right pixel ``(x, y)`` of the cutout in the image, inclusive.

        Assigning a value moves the cutout, as for `blc`.
        """
        return self.box.trc

    @trc.setter
    def trc(self, value: tuple[int, int]) -> None:
        x, y = validate_pixel_pair(value, "trc")
        self.blc = x - self.width + 1, y - self.height + 1

    dx = column_property(
        "dx",
        """
        Displacement of the image relative to the cutout along x, in pixels.

        Pixel x of the cutout is pixel ``x + blc[0] - dx`` of the image.
        """,
    )
    dy = column_property(
        "dy", "Displacement of the image relative to the cutout along y, in pixels."
    )

    @property
    def origin(self) -> tuple[float, float]:
        """Position ``(x, y)`` in the image of pixel (0, 0), with the displacement ``dx, dy``."""
        return self.blc[0] - self.dx, self.blc[1] - self.dy

    @property
    def src_pos(self) -> tuple[float, float]:
        """Position ``(x, y)`` of the source in the image, which may have fractions of pixels."""
        return float(self._columns["src_x"]), float(self._columns["src_y"])

    @src_pos.setter
    def src_pos(self, value: tuple[float, float]) -> None:
        position = validate_position(value, "src_pos")
        self._columns["src_x"], self._columns["src_y"] = position

    @property
    def cutout_src_pos(self) -> tuple[float, float]:
        """Position ``(x, y)`` of the source in the cutout, with the displacement ``dx, dy``."""
        (x, y), (x0, y0) = self.src_pos, self.origin
        return x - x0, y - y0

    @property
    def extraction_slice(self) -> tuple[slice, slice] | None:
        """Slices ``(y, x)`` of the image from which pixels were cut, `None` if nothing was cut."""
        box = self.valid_box
        return None if box is None else box.slices

    @property
    def insertion_slice(self) -> tuple[slice, slice]:
        """Slices ``(y, x)`` of the cutout that contain pixels of the image."""
        box = self.valid_box
        if box is None:
            return slice(0, 0), slice(0, 0)
        x, y = original_box(self._columns).blc
        return box.shift(-x, -y).slices

    @property
    def valid_box(self) -> PixelBox | None:
        """Box of the image from which pixels were cut, `None` if nothing was cut."""
        if self.image.shape is None:
            return None
        # A cutout of a cutout contains only pixels that are also in its parent.
        parent_box = self.store.get_overrides(self.row).parent_box
        return original_box(self._columns) & (parent_box or PixelBox.from_shape(self.image.shape))

    @property
    def image_wcs(self) -> Any:
        """WCS of the image from which the cutout was cut. The object is not a copy."""
        return self.image.wcs

    @property
    def wcs(self) -> Any:
        """
        WCS of the pixel grid of the cutout, with the displacement ``dx, dy``.

        The WCS is read-only, and is created at the first access. If the WCS of the image is an
        `astropy.wcs.WCS` or a `gwcs.wcs.WCS`, the result has the same class. Otherwise it is a
        wrapper of the WCS of the image.
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

        The value is the square root of the area of a pixel. For a FITS WCS, it holds at the
        reference point; for other WCSs, at the center of the image.
        """
        grid = self.image.grid
        return float(grid.pixel_scale(*grid.reference)[0])

    def pix2world(self, *args: ArrayLike, origin: int = 0) -> Any:
        """
        Convert positions in the cutout to world values.

        Parameters
        ----------
        *args : array
            Either x and y, or one array of shape (N, 2).
        origin : {0, 1}
            Coordinate of the center of the bottom-left pixel of the cutout.

        Returns
        -------
        array or tuple of array
            World values, in the order and units of the world axes of the WCS (APE 14, low level).
            The result has the form of the input: separate arrays or one array.
        """
        (x, y), restore_form = _parse_coordinates(args, 2, origin)
        x0, y0 = self.origin
        return restore_form(self.image.grid.to_world(x + (x0 - origin), y + (y0 - origin)))

    def world2pix(
        self,
        *args: ArrayLike,
        origin: int = 0,
        accuracy: float | None = None,
        maxiter: int | None = None,
        quiet: bool | None = None,
    ) -> Any:
        """
        Convert world values to positions in the cutout.

        The WCS converts each position back to world values, to confirm the position.

        Parameters
        ----------
        *args : array
            Either one array for each world axis, or one array of shape (N, 2). The values have the
            order and units of the world axes of the WCS (APE 14, low level).
        origin : {0, 1}
            Coordinate of the center of the bottom-left pixel of the cutout.
        accuracy : float, optional
            Largest error of a position, in pixels. The default is ``DEFAULT_ACCURACY``.
        maxiter : int, optional
            Largest number of iterations. The default is ``DEFAULT_MAXITER``.
        quiet : bool, optional
            Whether to return NaN for a position that is not found; otherwise the method raises an
            error. The default is ``DEFAULT_QUIET``.

        Returns
        -------
        array or tuple of array
            Positions ``x, y`` as separate arrays or as one array, in the form of the input.

        Raises
        ------
        NotConvergedError
            If a position is not found and ``quiet`` is false.
        """
        world, restore_form = _parse_coordinates(args, len(self.image.grid.world.units), origin)
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
        return restore_form((x + origin, y + origin))

    def _find(
        self, world: tuple[FloatArray, ...], *, accuracy: float, maxiter: int
    ) -> tuple[FloatArray, FloatArray]:
        """Convert world values to positions in the cutout. A position that is not found is NaN."""
        image_x, image_y = self.image.grid.to_pixel(*world, accuracy=accuracy, maxiter=maxiter)
        x0, y0 = self.origin
        x, y = np.atleast_1d(image_x - x0), np.atleast_1d(image_y - y0)
        lost = np.isnan(x)
        # The search of the grid of the image ends near the image. If the cutout lies outside,
        # search again near the cutout.
        if lost.any() and self.box not in PixelBox.from_shape(self.image.shape or (1, 1)):
            grid = PixelGrid(self.wcs, self.shape)
            missing = [np.atleast_1d(values)[lost] for values in world]
            x[lost], y[lost] = grid.to_pixel(*missing, accuracy=accuracy, maxiter=maxiter)
        shape = np.shape(world[0])
        return x.reshape(shape), y.reshape(shape)

    def get_bbox(self, wrt: str = "orig") -> FloatArray:
        """
        Return the outer corners of the corner pixels.

        Parameters
        ----------
        wrt : {'orig', 'blc', 'world'}
            Coordinates of the corners: in the image, in the cutout, or in the world. Only world
            coordinates include the displacement ``dx, dy``.

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


def _parse_coordinates(
    args: tuple[ArrayLike, ...], count: int, origin: int
) -> tuple[tuple[FloatArray, ...], Callable]:
    """Return the coordinates, and a function that converts results to the form of the arguments."""
    if origin not in (0, 1):
        msg = f"origin must be 0 or 1, got {origin!r}"
        raise ValueError(msg)
    if len(args) == count:
        return tuple(np.broadcast_arrays(*(np.asarray(a, float) for a in args))), tuple
    table = np.asarray(args[0], float) if len(args) == 1 else None
    if table is None or table.ndim != 2 or table.shape[1] != count:
        shapes = [np.shape(a) for a in args]
        msg = f"give {count} arrays, or one array of shape (N, {count}); got shapes {shapes}"
        raise ValueError(msg)
    return tuple(table.T), lambda values: np.stack(values, axis=-1)
