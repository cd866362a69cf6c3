"""Fixtures for all tests."""

import os
from pathlib import Path

import asdf
import pytest
from hypothesis import settings

# Nothing here may fail because a machine is slow.
settings.register_profile("default", deadline=None, print_blob=True)
# A run of CI that fails must fail again.
settings.register_profile("ci", settings.get_profile("default"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


@pytest.fixture(scope="session")
def shared_data():
    """Folder of real images, which only the developers of the package have."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the folder of real images, ../shared/data, is not here")
    return folder


@pytest.fixture
def strict_asdf():
    """Nodes that cannot be converted are errors, what is read is validated."""
    with asdf.config_context() as config:
        config.validate_on_read = True
        config.warn_on_failed_conversion = False
        yield
