"""What workers say to each other: a module for each feature, and the wire form of them all.

A feature registers its kinds of envelopes (``gateway.protocol.envelopes.kinds``); the wire
(``gateway.protocol.envelopes.wire``) reads whatever the modules of this package have registered.
"""
