import subpixal


def test_version():
    """The package knows its version."""
    assert subpixal.__version__
