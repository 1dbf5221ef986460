"""Parts of a page that every report uses."""
