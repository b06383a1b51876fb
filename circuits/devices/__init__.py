"""Device families: each states its physics once."""
