"""How cutouts, images and catalogues are kept in files."""
