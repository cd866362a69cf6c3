"""Fixtures for all tests."""

import os
from pathlib import Path

import asdf
import pytest
from hypothesis import settings

# Tests have no deadline, so that they also pass on slow machines.
settings.register_profile("default", deadline=None, print_blob=True)
# In CI, the examples are the same in each run, so that failures are reproducible.
settings.register_profile("ci", settings.get_profile("default"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


@pytest.fixture(scope="session")
def shared_data():
    """Return the folder of real images. If the folder does not exist, skip the test."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("there is no folder of real images, ../shared/data")
    return folder


@pytest.fixture
def strict_asdf():
    """Let asdf validate each file that it reads, and raise an error for unknown nodes."""
    with asdf.config_context() as config:
        config.validate_on_read = True
        config.warn_on_failed_conversion = False
        yield
