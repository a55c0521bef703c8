"""A stand-in for Elasticsearch 9.2 and later, which leaves vectors out of `_source` unless they are asked for."""
from documents import stand_in

stand_in(hides_vectors=True)
