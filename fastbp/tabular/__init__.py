"""Tables with named columns: read, described, turned into features, and scored."""
