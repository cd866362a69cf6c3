"""Fixtures for tests of files."""

import asdf
import pytest


@pytest.fixture
def strict_asdf():
    """Nodes that cannot be converted are errors, what is read is validated."""
    with asdf.config_context() as config:
        config.validate_on_read = True
        config.warn_on_failed_conversion = False
        yield
