"""Sending from a process that is no worker: a Django view, a Celery task, a script.

Such a process asks the owner of a connection as a worker would, by an inbox of its own. It has no
link, so a question or an answer that pub/sub loses ends as UNREACHABLE.
"""
