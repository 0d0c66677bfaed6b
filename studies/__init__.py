"""The example studies. They are installed as the package `ablab_studies` and run by name."""
