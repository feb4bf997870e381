"""Strings of spoken digits in noise, recognised by a CTC network behind the front-end: frozen, or trained with it."""
