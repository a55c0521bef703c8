//! The decoded pickle, with the place of each row's document.

use std::collections::BTreeMap;

use tranship_connector::{Error, ErrorKind, OpenOptions, Result};
use tranship_container::pickle::{self, ANY_CLASS, Bounds, Dict, Keep, Node, Pickle};
use tranship_storage::Blob;

/// Stands for a row without document.
const NONE: u32 = u32::MAX;
/// Fields of a document that are read, or say nothing.
const KNOWN_FIELDS: [&str; 6] = ["page_content", "metadata", "id", "type", "lookup_str", "lookup_index"];

/// The documents of a LangChain store.
pub struct Docstore {
    pickle: Pickle,
    /// Position of each row's document in the docstore.
    rows: Vec<u32>,
    notes: Vec<String>,
    file_bytes: u64,
    max_text_bytes: usize,
}

impl Docstore {
    /// The documents of the `rows` rows of the index beside `file`.
    pub fn read(file: &Blob, rows: u64, options: &OpenOptions, memory_bytes: u64) -> Result<Self> {
        let pickle = decode(file, options, memory_bytes).map_err(|error| error.with("file", file.label()))?;
        let mut store = Docstore {
            pickle,
            rows: Vec::new(),
            notes: Vec::new(),
            file_bytes: file.len(),
            max_text_bytes: options.limits.max_line_bytes,
        };
        store.find_rows(rows, options.allow_inconsistent).map_err(|error| error.with("file", file.label()))?;
        store.find_unread(options.allow_lossy).map_err(|error| error.with("file", file.label()))?;
        Ok(store)
    }

    /// Id and fields of the document of a row.
    pub fn document(&self, row: i64) -> Option<(&str, Dict<'_>)> {
        let position = self.rows.get(usize::try_from(row).ok()?)?;
        let (documents, _) = parts(&self.pickle).ok()?;
        entry(documents, *position)
    }

    /// What is worth telling.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Bytes of the pickle.
    pub fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// Bytes that the metadata of one document may take.
    pub fn max_text_bytes(&self) -> usize {
        self.max_text_bytes
    }

    fn find_rows(&mut self, rows: u64, allow_inconsistent: bool) -> Result<()> {
        let (documents, map) = parts(&self.pickle)?;
        let ids = Ids::of(documents)?;
        // A file of less than this many entries cannot name them all.
        let named = map.len() as u64;
        let mut found = vec![NONE; rows.min(named) as usize];
        let (mut strays, mut used) = (0u64, vec![false; documents.len()]);
        for (row, id) in map.iter() {
            let (Node::Int(row), Node::Text(id)) = (row, id) else {
                return Err(wrong("index_to_docstore_id maps something else than numbers to texts"));
            };
            let position = ids.position(id);
            let place = usize::try_from(row).ok().filter(|row| (*row as u64) < rows);
            match (position, place) {
                (Some(position), Some(place)) => {
                    if place >= found.len() {
                        // Only where rows are missing before it: the counts disagree, and are told to.
                        found.resize(place + 1, NONE);
                    }
                    found[place] = position;
                    used[position as usize] = true;
                }
                _ => strays += 1,
            }
        }
        let without = rows - found.iter().filter(|position| **position != NONE).count() as u64;
        let unused = ids.len() - used.iter().filter(|used| **used).count();
        self.rows = found;
        if without == 0 && unused == 0 && strays == 0 {
            return Ok(());
        }
        let what = format!(
            "index, map and docstore disagree: {rows} vectors, {named} entries in index_to_docstore_id, {} documents; {without} \
             vectors without document, {unused} documents without vector, {strays} entries that lead nowhere",
            ids.len()
        );
        if !allow_inconsistent {
            return Err(Error::damaged(what).hint(
                "copy both files again from one save_local; --allow-inconsistent reads the vectors that have a document",
            ));
        }
        self.notes.push(what);
        Ok(())
    }

    /// Fields of documents that hold something and that nobody reads.
    fn find_unread(&mut self, allow_lossy: bool) -> Result<()> {
        let (documents, _) = parts(&self.pickle)?;
        let mut unread: BTreeMap<&str, u64> = BTreeMap::new();
        for position in &self.rows {
            let Some((_, fields)) = entry(documents, *position) else { continue };
            for (name, value) in fields.iter() {
                let Node::Text(name) = name else { continue };
                if !KNOWN_FIELDS.contains(&name) && !matches!(value, Node::None) {
                    *unread.entry(name).or_default() += 1;
                }
            }
        }
        if unread.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = unread.iter().map(|(name, count)| format!("`{name}` of {count} documents")).collect();
        let what = format!("fields that are not read: {}", names.join(", "));
        if !allow_lossy {
            let error = Error::new(ErrorKind::LossDenied, format!("the documents have {what}"));
            return Err(error.hint("put them into the metadata with LangChain, or leave them out with --allow-lossy"));
        }
        self.notes.push(what);
        Ok(())
    }
}

fn decode(file: &Blob, options: &OpenOptions, memory_bytes: u64) -> Result<Pickle> {
    let reader = file.open()?;
    let bounds = Bounds { max_items: options.limits.max_pickle_items, max_memory_bytes: memory_bytes };
    let mut keep = |_: &str, _: Node<'_>, _: Node<'_>| Ok(Keep::Yes);
    let pickle = pickle::decode(reader.range(0, file.len()), file.len(), &[ANY_CLASS], bounds, &mut keep)
        .map_err(|error| enough(error, file.len(), memory_bytes))?;
    match pickle.bytes_read() {
        read if read == file.len() => Ok(pickle),
        read => Err(wrong("it goes on after its end").with("byte", read)),
    }
}

/// A limit of memory says how much would do.
fn enough(error: Error, file_bytes: u64, memory_bytes: u64) -> Error {
    if error.kind() != ErrorKind::Limit {
        return error;
    }
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    // Most of a pickle is text, held once; a value of two bytes may take 64.
    let needed = file_bytes.saturating_mul(6).max(memory_bytes.saturating_mul(2));
    Error::limit(format!("the documents take more than {} MiB, which is all that is allowed", mib(memory_bytes)))
        .hint(format!("a pickle is one object and must be held whole: give it at least {} MiB (--memory)", mib(needed)))
        .caused_by(error)
}

/// The documents by id, and the ids by row.
fn parts(pickle: &Pickle) -> Result<(Dict<'_>, Dict<'_>)> {
    let Node::Tuple(pair) = pickle.root() else { return Err(not_langchain()) };
    let (Some(store), Some(Node::Dict(map)), 2) = (pair.get(0), pair.get(1), pair.len()) else {
        return Err(not_langchain());
    };
    match store.fields().ok().and_then(|fields| fields.get("_dict")) {
        Some(Node::Dict(documents)) => Ok((documents, map)),
        _ => Err(not_langchain()),
    }
}

fn entry(documents: Dict<'_>, position: u32) -> Option<(&str, Dict<'_>)> {
    let (Node::Text(id), document) = documents.entry(position as usize)? else { return None };
    Some((id, fields(document)?))
}

/// The fields of a document, whatever its class.
fn fields(document: Node<'_>) -> Option<Dict<'_>> {
    let state = match document {
        Node::Object(object) => object.state(),
        _ => return None,
    };
    // With __slots__ the state is a pair of the dict and the slots.
    let state = match state {
        Node::Tuple(pair) => pair.iter().find(|part| matches!(part, Node::Dict(_)))?,
        state => state,
    };
    let Node::Dict(state) = state else { return None };
    match state.get("__dict__") {
        Some(Node::Dict(fields)) => Some(fields),
        _ => Some(state),
    }
}

/// Positions of documents, sorted by id; of an id that was set twice the last.
struct Ids<'a> {
    documents: Dict<'a>,
    sorted: Vec<u32>,
}

impl<'a> Ids<'a> {
    fn of(documents: Dict<'a>) -> Result<Self> {
        let mut ids = Ids { documents, sorted: (0..documents.len() as u32).collect() };
        for (key, document) in documents.iter() {
            if !matches!(key, Node::Text(_)) || fields(document).is_none() {
                return Err(wrong("the docstore holds something else than documents by id"));
            }
        }
        let mut sorted = std::mem::take(&mut ids.sorted);
        sorted.sort_by(|a, b| ids.text(*a).cmp(ids.text(*b)).then(b.cmp(a)));
        sorted.dedup_by(|later, kept| ids.text(*later) == ids.text(*kept));
        Ok(Ids { documents, sorted })
    }

    fn len(&self) -> usize {
        self.sorted.len()
    }

    fn text(&self, position: u32) -> &'a str {
        match self.documents.entry(position as usize) {
            Some((Node::Text(id), _)) => id,
            _ => "",
        }
    }

    fn position(&self, id: &str) -> Option<u32> {
        let found = self.sorted.binary_search_by(|position| self.text(*position).cmp(id)).ok()?;
        self.sorted.get(found).copied()
    }
}

fn wrong(why: &str) -> Error {
    Error::damaged(format!("the documents of the index do not make sense: {why}"))
        .hint("copy the folder again from its origin, or read the index alone with -o docstore=ignore")
}

fn not_langchain() -> Error {
    Error::not_recognised("the .pkl beside the index is not what LangChain saves: a docstore and a map of rows to ids")
        .hint("read the index alone with -o docstore=ignore")
}
