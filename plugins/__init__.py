"""The built-in plugins, one file a change, and the families. Loaded as strangers' plugins are."""
