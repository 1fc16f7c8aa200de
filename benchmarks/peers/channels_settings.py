"""Channels: the settings of Django, no more than it needs."""

import os

WORK = "peer-work"  # the channel that runworker listens to

SECRET_KEY = "a benchmark has none"
INSTALLED_APPS = ["channels"]
ASGI_APPLICATION = "benchmarks.peers.channels_application.application"
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [os.environ["PEER_REDIS_URL"]]},
    },
}
