//! The documents that LangChain keeps beside an index: `index.pkl`.
//!
//! ```text
//! (docstore, index_to_docstore_id)          a tuple
//! docstore              InMemoryDocstore, state {"_dict": {id: Document}}
//! index_to_docstore_id  {row of the index: id}
//! Document              state {"__dict__": fields, ..}   pydantic 1 and 2
//!                       state fields                     plain classes
//! fields                page_content: str, metadata: dict, id, type; lookup_str, lookup_index of 2022
//! ```
//!
//! Row i of the index belongs to the document whose id `index_to_docstore_id` gives for i. Classes are known by their
//! fields, not by their names: they moved between packages several times. Nothing of the pickle is ever executed.
//!
//! Invariant: rows, map and docstore agree in number and each row has its document, unless `allow_inconsistent`.
//! Memory: the decoded pickle, at most what `prepare` is given, and 8 bytes per document.
//!
//! Rejects: a document without text, metadata that JSON cannot say. Errors: damaged for a pickle of another shape or
//! counts that disagree, limit for one that outgrows the memory, loss denied for fields that nobody reads.
//! Source: langchain-community `vectorstores/faiss.py` (`save_local`, `load_local`), `docstore/in_memory.py`.

mod docstore;
mod json;
mod python;

use tranship_collection::batch::RowText;
use tranship_collection::json::ObjectText;
use tranship_collection::{BatchBuilder, IdKind};
use tranship_container::pickle::Node;

pub use docstore::Docstore;

/// Puts records together from documents.
#[derive(Default)]
pub struct Assembler {
    metadata: ObjectText,
}

impl Assembler {
    /// Completes the record of row `label`, whose vector is pushed already, or says why it must be rejected.
    pub fn append(
        &mut self,
        documents: &Docstore,
        label: i64,
        id: &mut String,
        builder: &mut BatchBuilder,
    ) -> Result<(), String> {
        id.clear();
        let Some((key, fields)) = documents.document(label) else {
            return Err(format!("there is no document for row {label}"));
        };
        id.push_str(key);
        let document = match fields.get("page_content") {
            Some(Node::Text(text)) => Some(text),
            _ => return Err("page_content is no text".to_owned()),
        };
        self.metadata.clear();
        match fields.get("metadata") {
            None | Some(Node::None) => {}
            Some(node) => json::append_object(node, &mut self.metadata, documents.max_text_bytes())?,
        }
        let metadata = self.metadata.close().map_err(|fault| fault.to_string())?;
        let text = RowText { id: key, id_kind: IdKind::Text, namespace: None, document, metadata };
        builder.finish_row(text).map_err(|fault| fault.to_string())
    }
}
