"""The rules, pure: bytes, numbers and times in, values out.

Nothing below this package knows an event loop, a socket, a clock or a random number, so every
rule here is tested without one.
"""
