url=${OPENSEARCH_URL:-http://127.0.0.1:9200}
with_vectors=
curl_config() {
  if [ -n "${OPENSEARCH_PASSWORD:-}" ]; then login "${OPENSEARCH_USER:-admin}:$OPENSEARCH_PASSWORD"; fi
}
