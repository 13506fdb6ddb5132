"""The version of fastbp, in one place: files and error messages name it."""

__version__ = "0.1.0"
