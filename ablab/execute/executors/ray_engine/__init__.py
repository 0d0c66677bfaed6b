"""The Ray engine: runs are trained by actors on the nodes of a Ray cluster.

`host` is the actor, `executor` hands runs to actors, and `connection` knows the cluster.
"""
