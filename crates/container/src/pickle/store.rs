//! Where decoded values lie: 16 bytes each, texts and bytes in two buffers, containers by number.

use tranship_connector::Result;

/// One decoded value. Numbers point into the [`Store`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(u32),
    Bytes(u32),
    /// An integer beyond 64 bits, as its little-endian two's complement bytes.
    Long(u32),
    /// Position among the known classes.
    Class(u32),
    Container(u32),
}

pub(super) enum Container {
    List(Vec<Value>),
    Tuple(Vec<Value>),
    Set(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    /// `items` is a dict of what was set on an instance of a dict class.
    Object { class: u32, arguments: Value, state: Value, items: Value },
}

/// Texts, bytes and containers.
#[derive(Default)]
pub(super) struct Store {
    text: String,
    text_ends: Vec<usize>,
    bytes: Vec<u8>,
    byte_ends: Vec<usize>,
    pub(super) containers: Vec<Container>,
    /// Elements of all containers.
    pub(super) elements: usize,
    /// The allowed classes, then those that [`ANY_CLASS`](super::ANY_CLASS) let in.
    classes: Vec<String>,
    any_class: bool,
}

impl Store {
    pub(super) fn new(classes: &[&str]) -> Self {
        let any_class = classes.contains(&super::ANY_CLASS);
        Store { classes: classes.iter().map(|&name| name.to_owned()).collect(), any_class, ..Store::default() }
    }

    /// Position of a class among the known ones; `None` if it may not occur.
    pub(super) fn class_number(&mut self, name: &str) -> Option<u32> {
        let known = self.classes.iter().position(|known| known == name);
        let position = match known {
            Some(position) => position,
            None if self.any_class => {
                self.classes.push(name.to_owned());
                self.classes.len() - 1
            }
            None => return None,
        };
        Some(position as u32)
    }

    /// Classes so far.
    pub(super) fn classes(&self) -> usize {
        self.classes.len()
    }

    pub(super) fn add_text(&mut self, text: &str) -> Value {
        self.text.push_str(text);
        self.text_ends.push(self.text.len());
        Value::Text((self.text_ends.len() - 1) as u32)
    }

    pub(super) fn add_bytes(&mut self, bytes: &[u8]) -> u32 {
        self.bytes.extend_from_slice(bytes);
        self.byte_ends.push(self.bytes.len());
        (self.byte_ends.len() - 1) as u32
    }

    pub(super) fn add_container(&mut self, container: Container) -> Value {
        self.elements += match &container {
            Container::List(values) | Container::Tuple(values) | Container::Set(values) => values.len(),
            Container::Dict(entries) => 2 * entries.len(),
            Container::Object { .. } => 3,
        };
        self.containers.push(container);
        Value::Container((self.containers.len() - 1) as u32)
    }

    /// Texts so far; the argument of [`Self::forget_texts`].
    pub(super) fn texts(&self) -> usize {
        self.text_ends.len()
    }

    /// Drops every text from number `first` on. The caller knows that nothing points at them.
    pub(super) fn forget_texts(&mut self, first: usize) {
        if first < self.text_ends.len() {
            self.text_ends.truncate(first);
            self.text.truncate(self.text_ends.last().copied().unwrap_or(0));
        }
    }

    /// Bytes of memory held.
    pub(super) fn memory_bytes(&self) -> u64 {
        let buffers = self.text.capacity() + self.bytes.capacity();
        let ends = 8 * (self.text_ends.capacity() + self.byte_ends.capacity());
        (buffers + ends + 64 * self.containers.capacity() + 16 * self.elements) as u64
    }

    pub(super) fn text(&self, number: u32) -> &str {
        span(&self.text_ends, number).and_then(|range| self.text.get(range)).unwrap_or_default()
    }

    fn bytes(&self, number: u32) -> &[u8] {
        span(&self.byte_ends, number).and_then(|range| self.bytes.get(range)).unwrap_or_default()
    }

    pub(super) fn node(&self, value: Value) -> Node<'_> {
        match value {
            Value::None => Node::None,
            Value::Bool(flag) => Node::Bool(flag),
            Value::Int(number) => Node::Int(number),
            Value::Float(number) => Node::Float(number),
            Value::Text(number) => Node::Text(self.text(number)),
            Value::Bytes(number) => Node::Bytes(self.bytes(number)),
            Value::Long(number) => Node::Long(self.bytes(number)),
            Value::Class(number) => Node::Class(self.class(number)),
            Value::Container(number) => self.container(number),
        }
    }

    fn container(&self, number: u32) -> Node<'_> {
        let values = |values| Values { store: self, values };
        match self.containers.get(number as usize) {
            Some(Container::List(list)) => Node::List(values(list)),
            Some(Container::Tuple(tuple)) => Node::Tuple(values(tuple)),
            Some(Container::Set(set)) => Node::Set(values(set)),
            Some(Container::Dict(entries)) => Node::Dict(Dict { store: self, entries }),
            Some(Container::Object { class, arguments, state, items }) => Node::Object(Object {
                store: self,
                class: self.class(*class),
                arguments: *arguments,
                state: *state,
                items: *items,
            }),
            None => Node::None,
        }
    }

    fn class(&self, number: u32) -> &str {
        self.classes.get(number as usize).map(String::as_str).unwrap_or_default()
    }
}

fn span(ends: &[usize], number: u32) -> Option<std::ops::Range<usize>> {
    let number = number as usize;
    let start = if number == 0 { 0 } else { *ends.get(number - 1)? };
    Some(start..*ends.get(number)?)
}

/// A decoded pickle.
pub struct Pickle {
    pub(super) store: Store,
    pub(super) root: Value,
    pub(super) bytes_read: u64,
}

impl std::fmt::Debug for Pickle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a pickle of {} bytes", self.bytes_read)
    }
}

impl Pickle {
    /// The value that the pickle stands for.
    pub fn root(&self) -> Node<'_> {
        self.store.node(self.root)
    }

    /// Bytes up to and including `STOP`.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read
    }
}

/// A look at one value.
#[derive(Clone, Copy)]
pub enum Node<'a> {
    /// `None`
    None,
    /// `bool`
    Bool(bool),
    /// `int` within 64 bits
    Int(i64),
    /// `int` beyond 64 bits: little-endian two's complement
    Long(&'a [u8]),
    /// `float`
    Float(f64),
    /// `str`
    Text(&'a str),
    /// `bytes`, `bytearray`, and `str` of Python 2
    Bytes(&'a [u8]),
    /// `list`
    List(Values<'a>),
    /// `tuple`
    Tuple(Values<'a>),
    /// `set` or `frozenset`
    Set(Values<'a>),
    /// `dict`; a key that was set twice stands twice, the later one counts
    Dict(Dict<'a>),
    /// A class by name
    Class(&'a str),
    /// What would have been an instance
    Object(Object<'a>),
}

/// The elements of a list, tuple or set.
#[derive(Clone, Copy)]
pub struct Values<'a> {
    store: &'a Store,
    values: &'a [Value],
}

impl<'a> Values<'a> {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The element at a position.
    pub fn get(&self, position: usize) -> Option<Node<'a>> {
        self.values.get(position).map(|value| self.store.node(*value))
    }

    /// The elements in order.
    pub fn iter(&self) -> impl Iterator<Item = Node<'a>> + use<'a> {
        let store = self.store;
        self.values.iter().map(move |value| store.node(*value))
    }
}

/// The entries of a dict.
#[derive(Clone, Copy)]
pub struct Dict<'a> {
    store: &'a Store,
    entries: &'a [(Value, Value)],
}

impl<'a> Dict<'a> {
    /// Number of entries that were kept.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entry at a position, counted in the order in which entries were set.
    pub fn entry(&self, position: usize) -> Option<(Node<'a>, Node<'a>)> {
        let (key, value) = self.entries.get(position)?;
        Some((self.store.node(*key), self.store.node(*value)))
    }

    /// The entries in the order in which they were set.
    pub fn iter(&self) -> impl Iterator<Item = (Node<'a>, Node<'a>)> + use<'a> {
        let store = self.store;
        self.entries.iter().map(move |(key, value)| (store.node(*key), store.node(*value)))
    }

    /// The value under a text key.
    pub fn get(&self, wanted: &str) -> Option<Node<'a>> {
        let is_wanted = |key: Value| matches!(self.store.node(key), Node::Text(text) if text == wanted);
        self.entries.iter().rev().find(|(key, _)| is_wanted(*key)).map(|(_, value)| self.store.node(*value))
    }
}

/// An inert instance: its class, what its constructor would have got, and its state.
#[derive(Clone, Copy)]
pub struct Object<'a> {
    store: &'a Store,
    class: &'a str,
    arguments: Value,
    state: Value,
    items: Value,
}

impl<'a> Object<'a> {
    /// Full name of the class or function.
    pub fn class(&self) -> &'a str {
        self.class
    }

    /// The constructor's arguments, usually a tuple.
    pub fn arguments(&self) -> Node<'a> {
        self.store.node(self.arguments)
    }

    /// The entries that were set on it: it is of a class of dicts.
    pub fn items(&self) -> Option<Dict<'a>> {
        match self.store.node(self.items) {
            Node::Dict(dict) => Some(dict),
            _ => None,
        }
    }

    /// What `BUILD` gave it; `None` without.
    pub fn state(&self) -> Node<'a> {
        self.store.node(self.state)
    }
}

impl<'a> Node<'a> {
    /// The dict that this node is, or that is its state.
    pub fn fields(self) -> Result<Dict<'a>> {
        match self {
            Node::Dict(dict) => Ok(dict),
            Node::Object(object) => match object.state() {
                Node::Dict(dict) => Ok(dict),
                _ => Err(super::damaged(0, format_args!("{} has no state", object.class()))),
            },
            _ => Err(super::damaged(0, "it holds neither a dict nor an object")),
        }
    }
}
