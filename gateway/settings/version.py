"""Which release this is. Apart from ``gateway`` itself, so that nothing below imports the front."""

__version__ = "0.1.0"
