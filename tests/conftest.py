"""Fixtures for all tests."""

import os
from pathlib import Path

import asdf
import pytest
from hypothesis import settings

# A slow machine must not fail a test, so there is no deadline.
settings.register_profile("default", deadline=None, print_blob=True)
# A failed run of CI must be reproducible, so examples are not random.
settings.register_profile("ci", settings.get_profile("default"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


@pytest.fixture(scope="session")
def shared_data():
    """Return the folder of real images. Skip tests if it does not exist."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("there is no folder of real images, ../shared/data")
    return folder


@pytest.fixture
def strict_asdf():
    """Make asdf validate files that it reads, and refuse nodes that it cannot convert."""
    with asdf.config_context() as config:
        config.validate_on_read = True
        config.warn_on_failed_conversion = False
        yield
