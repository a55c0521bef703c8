//! The registry of this build: one line per connector.

use tranship_connector::Registry;

/// All connectors.
pub fn registry() -> Registry {
    Registry {
        connectors: vec![
            &tranship_archive::CONNECTOR,
            &tranship_format_arrays::CONNECTOR,
            &tranship_format_hnswlib::CONNECTOR,
            &tranship_format_jsonl::CONNECTOR,
            &tranship_format_parquet::CONNECTOR,
            &tranship_format_usearch::CONNECTOR,
            &tranship_provider_azure::CONNECTOR,
            &tranship_provider_chroma::CONNECTOR,
            &tranship_provider_dataset::CONNECTOR,
            &tranship_provider_elasticsearch::ELASTICSEARCH,
            &tranship_provider_faiss::CONNECTOR,
            &tranship_provider_milvus::CONNECTOR,
            &tranship_provider_mongodb::CONNECTOR,
            &tranship_provider_elasticsearch::OPENSEARCH,
            &tranship_provider_pgvector::CONNECTOR,
            &tranship_provider_pinecone::CONNECTOR,
            &tranship_provider_qdrant::CONNECTOR,
            &tranship_provider_redis::CONNECTOR,
            &tranship_provider_s3vectors::CONNECTOR,
            &tranship_provider_turbopuffer::CONNECTOR,
            &tranship_provider_typesense::CONNECTOR,
            &tranship_provider_vertex::CONNECTOR,
            &tranship_provider_vespa::CONNECTOR,
            &tranship_provider_weaviate::CONNECTOR,
        ],
    }
}
