//! A target with a rule for everything: JSON lines of one dense vector each.

use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use serde::Deserialize;
use serde_json::value::RawValue;
use tranship_bundle::form::{TextParts, TextShape};
use tranship_bundle::rows::{append_dense, append_id, push_floats};
use tranship_bundle::{BundleSink, BundleSource, DataFile, Extra, Facts, Form, FormWriter, Part, Parts};
use tranship_collection::batch::RowText;
use tranship_collection::json::append_string;
use tranship_collection::{BatchBuilder, BatchView, CollectionSchema, Element, IdKind, Metric};
use tranship_connector::rules::{
    Chars, IdRules, IntegerIds, Lists, MetadataRules, Numbers, RowRules, TextIds, VectorRules,
};
use tranship_connector::{
    Batches, Capabilities, Connector, CreateOptions, Error, Locator, Mapping, OpenOptions, Result, Rules, Sink, Source,
    Survey,
};

/// What the toy holds.
pub const RULES: Rules = Rules {
    target: "toy",
    title: "Toy",
    ids: IdRules {
        integers: IntegerIds::AsText,
        texts: TextIds::Text { max_bytes: 40, max_chars: 36, chars: Chars::Ascii },
    },
    namespaces: false,
    documents: false,
    metadata: Some(MetadataRules {
        lists: Lists::OneType,
        numbers: Numbers::Double,
        nul: false,
        ..MetadataRules::FLAT
    }),
    vectors: VectorRules {
        elements: &[Element::F32],
        max_dim: 16,
        max_dense: 1,
        max_sparse: 1,
        multi: false,
        bits: false,
        metrics: &[Metric::Cosine, Metric::Dot],
        normalises: false,
    },
    rows: RowRules {
        vector_required: true,
        every_vector: false,
        finite: true,
        nonzero_under_cosine: true,
        multi_rows: true,
        max_nonzeros: Some(3),
        max_metadata_bytes: Some(300),
        max_native_bytes: Some(290),
        max_document_bytes: Some(200),
        ..RowRules::ANY
    },
};

/// The connector.
pub static CONNECTOR: Connector = Connector {
    name: "toy",
    about: "a toy",
    extensions: &[],
    capabilities: Capabilities {
        reads: "",
        writes: "",
        vectors: "",
        ids: "",
        metadata: "",
        several_collections: false,
        bundles: true,
        proven_with: "",
        covers: &[],
    },
    options: &[],
    target_options: &[],
    probe: |path| tranship_bundle::probe(path, "toy"),
    list: None,
    open: Some(open),
    create: Some(create),
};

fn create(locator: &Locator, options: &CreateOptions) -> Result<Box<dyn Sink>> {
    Ok(Box::new(BundleSink::new(Box::new(Toy), &locator.path, options)))
}

fn open(locator: &Locator, options: &OpenOptions) -> Result<Box<dyn Source>> {
    Ok(Box::new(BundleSource::open(&Toy, &locator.path, options)?))
}

/// Opens a bundle of the toy.
pub fn reopen(path: &Path) -> Result<Box<dyn Source>> {
    open(&Locator { provider: None, path: path.to_owned() }, &OpenOptions::default())
}

struct Toy;

const SHAPE: TextShape = TextShape {
    stem: "toys",
    extension: "jsonl",
    start: b"",
    between: b"\n",
    end: b"\n",
    max_bytes: 2_000,
    max_rows: 10,
};

impl Form for Toy {
    fn rules(&self) -> &'static Rules {
        &RULES
    }

    fn name_fault(&self, name: &str) -> Option<String> {
        (name == "never").then(|| "it is never taken".to_owned())
    }

    fn settle(&self, _mapping: &mut Mapping, _survey: &Survey) -> Result<()> {
        Ok(())
    }

    fn shard_memory_bytes(&self, _schema: &CollectionSchema) -> u64 {
        1 << 20
    }

    fn open<'a>(
        &'a self,
        parts: Parts<'a>,
        _mapping: &'a Mapping,
        stored: &Arc<CollectionSchema>,
    ) -> Result<Box<dyn FormWriter + 'a>> {
        Ok(Box::new(ToyWriter { stored: stored.clone(), lines: TextParts::new(parts, SHAPE) }))
    }

    fn extras(&self, facts: &Facts<'_>) -> Result<Vec<Extra>> {
        Ok(vec![facts.readme("Toy", "Play.\n", "- `data/toys-*.jsonl`: toys\n")])
    }

    fn read_memory_bytes(&self, bytes: u64) -> u64 {
        bytes
    }

    fn read<'a>(
        &'a self,
        file: DataFile<'a>,
        _mapping: &'a Mapping,
        stored: &Arc<CollectionSchema>,
    ) -> Result<Batches<'a>> {
        let bytes = file.bytes()?;
        let mut builder = BatchBuilder::new(stored.clone()).map_err(|fault| file.damaged(fault.to_string()))?;
        for line in String::from_utf8_lossy(&bytes).lines() {
            let toy: ToyLine<'_> = serde_json::from_str(line).map_err(|e| file.damaged(e.to_string()))?;
            if let Some(vector) = toy.v {
                push_floats(&mut builder, "", vector.get()).map_err(|e| file.damaged(e))?;
            }
            if let Some((indices, values)) = &toy.s {
                builder.push_sparse(1, indices, values).map_err(|fault| file.damaged(fault.to_string()))?;
            }
            let metadata = toy.m.map(RawValue::get);
            let row = RowText { id: &toy.id, id_kind: IdKind::Text, namespace: None, document: None, metadata };
            builder.finish_row(row).map_err(|fault| file.damaged(fault.to_string()))?;
        }
        let batch = builder.finish().map_err(|fault| file.damaged(fault.to_string()))?;
        Ok(Box::new(std::iter::once(Ok(batch))))
    }
}

#[derive(Deserialize)]
struct ToyLine<'a> {
    id: String,
    #[serde(borrow)]
    v: Option<&'a RawValue>,
    s: Option<(Vec<u32>, Vec<f32>)>,
    #[serde(borrow)]
    m: Option<&'a RawValue>,
}

struct ToyWriter<'a> {
    stored: Arc<CollectionSchema>,
    lines: TextParts<'a>,
}

impl FormWriter for ToyWriter<'_> {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let view = BatchView::new(batch, &self.stored).map_err(|fault| Error::bug(fault.to_string()))?;
        for row in 0..view.len() {
            let mut line = b"{\"id\":".to_vec();
            append_id(&view, row, &mut line);
            for (column, spec) in view.vector_specs().enumerate() {
                let Some(value) = view.vector(column, row) else { continue };
                line.push(b',');
                append_string(if spec.name.is_empty() { "v" } else { "s" }, &mut line);
                line.push(b':');
                if let tranship_collection::VectorValue::Sparse(indices, values) = value {
                    line.extend_from_slice(serde_json::json!([indices, values]).to_string().as_bytes());
                } else {
                    assert!(append_dense(&value, &mut line), "the toy has dense vectors");
                }
            }
            if let Some(metadata) = view.metadata(row) {
                line.extend_from_slice(b",\"m\":");
                line.extend_from_slice(metadata.as_bytes());
            }
            line.push(b'}');
            self.lines.push(&line, view.id(row))?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Vec<Part>> {
        self.lines.finish()
    }
}
