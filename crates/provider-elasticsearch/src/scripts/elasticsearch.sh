url=${ELASTICSEARCH_URL:-http://127.0.0.1:9200}
# Elasticsearch 9.2 and later leave vectors out unless they are asked for.
with_vectors='"_source":{"exclude_vectors":false},'
curl_config() {
  if [ -n "${ELASTICSEARCH_API_KEY:-}" ]; then
    header Authorization "ApiKey $ELASTICSEARCH_API_KEY"
  elif [ -n "${ELASTICSEARCH_PASSWORD:-}" ]; then
    login "${ELASTICSEARCH_USER:-elastic}:$ELASTICSEARCH_PASSWORD"
  fi
}
