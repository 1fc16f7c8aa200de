"""Channels at one worker: subscriptions, fan-out, publishing, presence, tokens."""
