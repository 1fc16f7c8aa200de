"""The Centrifuge client protocol, version 2, in its JSON form: its rules, without sockets.

``session`` is where to begin; the tables of ``states`` say what may come when.
"""
