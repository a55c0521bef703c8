"""A stand-in for OpenSearch and older Elasticsearch, where `_source` is whole and cannot be asked otherwise."""
from documents import stand_in

stand_in(hides_vectors=False)
