"""Programs that make committed files; `make generated` runs them, tests hold the files to them."""
