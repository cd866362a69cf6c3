"""Adapters of WCSs: another kind of WCS is one class in the list of adapters."""

import numpy as np
import pytest
from astropy.wcs.wcsapi import BaseLowLevelWCS
from numpy.testing import assert_allclose, assert_array_equal

from subpixal import Cutout
from subpixal.datasets import make_wcs
from subpixal.geometry import PixelMap, adapters

SHAPE = (60, 80)


class SlowWCS(BaseLowLevelWCS):
    """WCS with the values of another WCS, which counts the calls of its own methods."""

    pixel_n_dim = 2
    world_n_dim = 2

    def __init__(self, inner):
        self.inner = inner
        self.calls = 0

    def pixel_to_world_values(self, *pixel_arrays):
        self.calls += 1
        return self.inner.pixel_to_world_values(*pixel_arrays)

    def world_to_pixel_values(self, *world_arrays):
        self.calls += 1
        return self.inner.world_to_pixel_values(*world_arrays)

    @property
    def world_axis_physical_types(self):
        return self.inner.world_axis_physical_types

    @property
    def world_axis_units(self):
        return self.inner.world_axis_units

    @property
    def world_axis_object_components(self):
        return self.inner.world_axis_object_components

    @property
    def world_axis_object_classes(self):
        return self.inner.world_axis_object_classes


class SlowAdapter(adapters.WCSAdapter):
    """Adapter that calls the inner WCS directly."""

    @staticmethod
    def handles(wcs):
        return isinstance(wcs, SlowWCS)

    @property
    def reference(self):
        return 12.0, 34.0

    def _pixel_to_world(self, x, y):
        return self.wcs.inner.pixel_to_world_values(x, y)

    def _world_to_pixel(self, *world):
        return self.wcs.inner.world_to_pixel_values(*world)


@pytest.fixture
def slow(monkeypatch):
    """Add the adapter to the list, and return a WCS of its kind."""
    monkeypatch.setattr(adapters, "ADAPTERS", (SlowAdapter, *adapters.ADAPTERS))
    return SlowWCS(make_wcs("sip", SHAPE))


def test_any_wcs_has_an_adapter():
    """Without an adapter of its own, a WCS is used through APE 14."""
    wcs = SlowWCS(make_wcs("sip", SHAPE))
    assert type(adapters.adapt(wcs)) is adapters.WCSAdapter
    assert PixelMap(wcs, wcs.inner)(3.0, 4.0) == pytest.approx((3, 4), abs=1e-5)
    assert wcs.calls > 0


def test_new_adapter_is_used_by_maps_and_cutouts(slow):
    """Maps and cutouts use the methods of the new adapter, and not those of the WCS."""
    x, y = np.random.default_rng(2).uniform(5, 55, (2, 40))
    found = PixelMap(slow, slow.inner)(x, y)
    assert_allclose(found, (x, y), rtol=0, atol=1e-5)
    back = PixelMap(slow.inner, slow)(x, y)
    assert_allclose(back, (x, y), rtol=0, atol=1e-5)
    cutout = Cutout(np.ones(SHAPE), slow, (10, 20), (19, 24))
    expected = slow.inner.pixel_to_world_values(10 + x, 20 + y)
    assert_array_equal(cutout.pix2world(x, y), expected)
    assert cutout.image.grid.reference == (12, 34)
    assert slow.calls == 0
