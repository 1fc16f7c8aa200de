"""Which release this is. Not in ``gateway`` itself, which imports what applications use."""

__version__ = "0.1.0"
