"""Changes other than a boot, each as a flow over one host: stop, start, remove, prune, undo, Traefik, …. No I/O here.

A flow here returns ``rollout.Done``: one sentence on what it did. Whatever may be routed is cut and drained before it
is stopped.
"""
