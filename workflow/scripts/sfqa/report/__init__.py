"""Reports on a finished run: rejected rows, the site, the manifest, the RO-Crate, the catalogue."""
