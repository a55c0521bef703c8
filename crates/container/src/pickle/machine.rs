//! The stack machine: one opcode after another, without recursion and without effects.

use std::collections::HashMap;
use std::io::Read;

use tranship_connector::Result;

use super::input::Input;
use super::store::{Container, Pickle, Store, Value};
use super::{Bounds, Keep, Visitor, damaged, limit, literal};

/// Longest line of a protocol 0 opcode.
const MAX_LINE: usize = 1 << 20;
/// Longest integer, bytes.
const MAX_LONG: u64 = 1 << 10;
/// Names of classes that one pickle may hold.
const MAX_CLASSES: usize = 1 << 10;

/// State of the decoder.
pub(super) struct Machine<R> {
    input: Input<R>,
    bounds: Bounds,
    store: Store,
    stack: Vec<Value>,
    marks: Vec<Mark>,
    memo: Vec<Value>,
    /// Memo entries whose number runs ahead of the count; a real pickle has none.
    sparse_memo: HashMap<u32, Value>,
    memo_writes: u64,
    items: usize,
    /// Offset of the opcode being executed.
    at: u64,
    scratch: Vec<u8>,
}

/// What `MARK` remembers.
struct Mark {
    stack: usize,
    texts: usize,
    memo_writes: u64,
}

impl<R: Read> Machine<R> {
    pub(super) fn new(input: Input<R>, classes: &[&str], bounds: Bounds) -> Self {
        let bounds = Bounds { max_items: bounds.max_items.min(u32::MAX as usize - 1), ..bounds };
        Machine {
            input,
            bounds,
            store: Store::new(classes),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: Vec::new(),
            sparse_memo: HashMap::new(),
            memo_writes: 0,
            items: 0,
            at: 0,
            scratch: Vec::new(),
        }
    }

    pub(super) fn run(mut self, visit: Visitor<'_>) -> Result<Pickle> {
        loop {
            self.at = self.input.offset();
            let opcode = self.input.byte()?;
            if opcode == b'.' {
                let root = self.pop()?;
                return Ok(Pickle { store: self.store, root, bytes_read: self.input.offset() });
            }
            self.execute(opcode, visit)?;
            self.check_memory()?;
        }
    }

    fn execute(&mut self, opcode: u8, visit: Visitor<'_>) -> Result<()> {
        match opcode {
            0x80 => self.protocol(),
            0x95 => self.frame(),
            b'(' => self.mark(),
            b'0' => self.pop_or_mark(),
            b'1' => self.cut_mark().map(|mark| self.stack.truncate(mark.stack)),
            b'2' => self.top().and_then(|value| self.push(value)),
            b'N' => self.push(Value::None),
            0x88 => self.push(Value::Bool(true)),
            0x89 => self.push(Value::Bool(false)),
            b'K' => self.input.byte().and_then(|v| self.push(Value::Int(v.into()))),
            b'M' => self.input.array().and_then(|v| self.push(Value::Int(u16::from_le_bytes(v).into()))),
            b'J' => self.input.array().and_then(|v| self.push(Value::Int(i32::from_le_bytes(v).into()))),
            b'G' => self.input.array().and_then(|v| self.push(Value::Float(f64::from_be_bytes(v)))),
            b'I' | b'L' | b'F' | b'S' | b'V' => self.line_literal(opcode),
            0x8a | b'\x8b' => self.long(opcode),
            0x8c | b'X' | 0x8d => self.text(opcode),
            b'U' | b'T' | b'C' | b'B' | 0x8e | 0x96 => self.bytes(opcode),
            b')' => self.push_container(Container::Tuple(Vec::new())),
            b']' => self.push_container(Container::List(Vec::new())),
            b'}' => self.push_container(Container::Dict(Vec::new())),
            0x8f => self.push_container(Container::Set(Vec::new())),
            0x85..=0x87 => self.short_tuple(usize::from(opcode - 0x84)),
            b't' => self.pop_mark().and_then(|values| self.push_container(Container::Tuple(values))),
            b'l' => self.pop_mark().and_then(|values| self.push_container(Container::List(values))),
            0x91 => self.pop_mark().and_then(|values| self.push_container(Container::Set(values))),
            b'd' => self.dict(),
            b'a' => self.pop().and_then(|value| self.extend(vec![value])),
            b'e' | 0x90 => self.pop_mark().and_then(|values| self.extend(values)),
            b's' => self.set_item(visit),
            b'u' => self.set_items(visit),
            b'p' | b'q' | b'r' | 0x94 => self.memo_put(opcode),
            b'g' | b'h' | b'j' => self.memo_get(opcode),
            b'c' | 0x93 => self.global(opcode),
            b'R' | 0x81 => self.new_object(),
            0x92 => self.pop().and_then(|_keywords| self.new_object()),
            b'o' | b'i' => self.old_object(opcode),
            b'b' => self.build(),
            b'P' | b'Q' | 0x82..=0x84 | 0x97 | 0x98 => {
                Err(self.bad(format_args!("opcode {opcode:#04x} reaches outside the file, which is never followed")))
            }
            _ => Err(self.bad(format_args!("{opcode:#04x} is no opcode"))),
        }
    }

    fn protocol(&mut self) -> Result<()> {
        match self.input.byte()? {
            0..=5 => Ok(()),
            other => Err(self.bad(format_args!("protocol {other}, the highest known is 5"))),
        }
    }

    fn frame(&mut self) -> Result<()> {
        let length = u64::from_le_bytes(self.input.array()?);
        self.input.expect(length, "a frame").map(|_| ())
    }

    fn long(&mut self, opcode: u8) -> Result<()> {
        let length = match opcode {
            0x8a => u64::from(self.input.byte()?),
            _ => u64::from(u32::from_le_bytes(self.input.array()?)),
        };
        if length > MAX_LONG {
            return Err(limit(self.at, &format!("an integer of {length} bytes, more"), MAX_LONG));
        }
        self.read_scratch(length, "an integer")?;
        let value = match literal::little_endian(&self.scratch) {
            Some(value) => Value::Int(value),
            None => Value::Long(self.store.add_bytes(&self.scratch)),
        };
        self.push(value)
    }

    fn text(&mut self, opcode: u8) -> Result<()> {
        let length = self.length(opcode)?;
        self.read_scratch(length, "a text")?;
        let Ok(text) = std::str::from_utf8(&self.scratch) else {
            return Err(self.bad("a text is not valid UTF-8"));
        };
        let value = self.store.add_text(text);
        self.push(value)
    }

    fn bytes(&mut self, opcode: u8) -> Result<()> {
        let length = self.length(opcode)?;
        self.read_scratch(length, "a byte string")?;
        let value = Value::Bytes(self.store.add_bytes(&self.scratch));
        self.push(value)
    }

    /// The length field of a sized opcode.
    fn length(&mut self, opcode: u8) -> Result<u64> {
        Ok(match opcode {
            0x8c | b'U' | b'C' => u64::from(self.input.byte()?),
            b'X' | b'T' | b'B' => u64::from(u32::from_le_bytes(self.input.array()?)),
            _ => u64::from_le_bytes(self.input.array()?),
        })
    }

    fn read_scratch(&mut self, length: u64, what: &str) -> Result<()> {
        let length = self.input.expect(length, what)?;
        if length as u64 > self.bounds.max_memory_bytes {
            return Err(limit(self.at, &format!("{what} of {length} bytes, more"), self.bounds.max_memory_bytes));
        }
        self.scratch.clear();
        self.input.append(length, &mut self.scratch)
    }

    fn line_literal(&mut self, opcode: u8) -> Result<()> {
        let line = self.input.line(MAX_LINE)?;
        let value = literal::parse(opcode, &line, &mut self.store)
            .ok_or_else(|| self.bad("a literal is malformed or beyond 64 bits"))?;
        self.push(value)
    }

    fn short_tuple(&mut self, count: usize) -> Result<()> {
        let values = self.pop_many(count)?;
        self.push_container(Container::Tuple(values))
    }

    fn dict(&mut self) -> Result<()> {
        let values = self.pop_mark()?;
        let entries = self.pairs(&values)?;
        self.push_container(Container::Dict(entries))
    }

    fn pairs(&self, values: &[Value]) -> Result<Vec<(Value, Value)>> {
        if !values.len().is_multiple_of(2) {
            return Err(self.bad("a dict entry without value"));
        }
        Ok(values.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
    }

    fn extend(&mut self, values: Vec<Value>) -> Result<()> {
        let Value::Container(number) = self.top()? else {
            return Err(self.bad("elements for something that is no list"));
        };
        match self.store.containers.get_mut(number as usize) {
            Some(Container::List(list) | Container::Set(list)) => {
                self.store.elements += values.len();
                list.extend(values);
                Ok(())
            }
            _ => Err(self.bad("elements for something that is no list or set")),
        }
    }

    fn set_item(&mut self, visit: Visitor<'_>) -> Result<()> {
        let pair = self.pop_many(2)?;
        self.set_pairs(&pair, visit).map(|_| ())
    }

    fn set_items(&mut self, visit: Visitor<'_>) -> Result<()> {
        let mark = self.cut_mark()?;
        let values = self.stack.split_off(mark.stack);
        let all_taken = self.set_pairs(&values, visit)?;
        if all_taken && mark.memo_writes == self.memo_writes {
            self.store.forget_texts(mark.texts);
        }
        Ok(())
    }

    /// Offers entries to the visitor and keeps what it leaves; true if it took all of them.
    fn set_pairs(&mut self, values: &[Value], visit: Visitor<'_>) -> Result<bool> {
        let (Some(number), name) = (self.dict_at(self.top()?), self.below_top()) else {
            return Err(self.bad("an entry for something that is no dict"));
        };
        let name = match name {
            Some(Value::Text(text)) => self.store.text(text),
            _ => "",
        };
        let mut kept = Vec::new();
        for (key, value) in self.pairs(values)? {
            if visit(name, self.store.node(key), self.store.node(value))? == Keep::Yes {
                kept.push((key, value));
            }
        }
        let all_taken = kept.is_empty();
        self.store.elements += 2 * kept.len();
        if let Some(Container::Dict(entries)) = self.store.containers.get_mut(number as usize) {
            entries.append(&mut kept);
        }
        Ok(all_taken)
    }

    /// The dict that entries for `target` go to: itself, or the items of an instance of a dict class.
    fn dict_at(&mut self, target: Value) -> Option<u32> {
        let Value::Container(number) = target else { return None };
        match self.store.containers.get(number as usize)? {
            Container::Dict(_) => Some(number),
            Container::Object { items: Value::Container(items), .. } => Some(*items),
            Container::Object { .. } => {
                let new = self.store.add_container(Container::Dict(Vec::new()));
                if let Some(Container::Object { items, .. }) = self.store.containers.get_mut(number as usize) {
                    *items = new;
                }
                self.dict_at(target)
            }
            _ => None,
        }
    }

    fn memo_put(&mut self, opcode: u8) -> Result<()> {
        let number = match opcode {
            0x94 => (self.memo.len() + self.sparse_memo.len()) as u32,
            _ => self.memo_number(opcode)?,
        };
        let value = self.top()?;
        self.count_item()?;
        self.memo_writes += 1;
        match number as usize {
            known if known < self.memo.len() => self.memo[known] = value,
            next if next == self.memo.len() => self.memo.push(value),
            _ => {
                self.sparse_memo.insert(number, value);
            }
        }
        Ok(())
    }

    fn memo_get(&mut self, opcode: u8) -> Result<()> {
        let number = self.memo_number(opcode)?;
        let value = self.memo.get(number as usize).or_else(|| self.sparse_memo.get(&number)).copied();
        let value = value.ok_or_else(|| self.bad(format_args!("memo {number} is empty")))?;
        self.push(value)
    }

    fn memo_number(&mut self, opcode: u8) -> Result<u32> {
        match opcode {
            b'h' | b'q' => self.input.byte().map(u32::from),
            b'j' | b'r' => self.input.array().map(u32::from_le_bytes),
            _ => {
                let line = self.input.line(MAX_LINE)?;
                literal::decimal(&line).ok_or_else(|| self.bad("a memo number is malformed"))
            }
        }
    }

    fn global(&mut self, opcode: u8) -> Result<()> {
        let class = match opcode {
            b'c' => self.class_lines()?,
            _ => {
                let names = self.pop_many(2)?;
                let [Value::Text(module), Value::Text(name)] = names.as_slice() else {
                    return Err(self.bad("a class whose name is no text"));
                };
                let full_name = format!("{}.{}", self.store.text(*module), self.store.text(*name));
                self.allowed(&full_name)?
            }
        };
        self.push(Value::Class(class))
    }

    fn class_lines(&mut self) -> Result<u32> {
        let module = self.input.line(MAX_LINE)?;
        let name = self.input.line(MAX_LINE)?;
        self.allowed(&format!("{}.{}", String::from_utf8_lossy(&module), String::from_utf8_lossy(&name)))
    }

    fn allowed(&mut self, class: &str) -> Result<u32> {
        match self.store.class_number(class) {
            Some(number) if self.store.classes() <= MAX_CLASSES => Ok(number),
            Some(_) => Err(limit(self.at, "more classes", MAX_CLASSES as u64)),
            None => Err(tranship_connector::Error::damaged(format!("the pickle names the class `{}`", shown(class)))
                .with("byte", self.at)
                .hint("no database writes this class here and nothing of it was executed; do not open this file with Python")),
        }
    }

    fn new_object(&mut self) -> Result<()> {
        let arguments = self.pop()?;
        let Value::Class(class) = self.pop()? else {
            return Err(self.bad("a call of something that is no class"));
        };
        self.push_container(Container::Object { class, arguments, state: Value::None, items: Value::None })
    }

    fn old_object(&mut self, opcode: u8) -> Result<()> {
        let named = if opcode == b'i' { Some(self.class_lines()?) } else { None };
        let mut values = self.pop_mark()?;
        let class = match (named, values.first()) {
            (Some(class), _) => class,
            (None, Some(Value::Class(class))) => {
                let class = *class;
                values.remove(0);
                class
            }
            _ => return Err(self.bad("a call of something that is no class")),
        };
        let arguments = self.store.add_container(Container::Tuple(values));
        self.push_container(Container::Object { class, arguments, state: Value::None, items: Value::None })
    }

    fn build(&mut self) -> Result<()> {
        let new_state = self.pop()?;
        if let Value::Container(number) = self.top()?
            && let Some(Container::Object { state, .. }) = self.store.containers.get_mut(number as usize)
        {
            *state = new_state;
            return Ok(());
        }
        Err(self.bad("a state for something that is no object"))
    }

    fn mark(&mut self) -> Result<()> {
        self.count_item()?;
        self.marks.push(Mark { stack: self.stack.len(), texts: self.store.texts(), memo_writes: self.memo_writes });
        Ok(())
    }

    fn pop_or_mark(&mut self) -> Result<()> {
        match self.marks.last() {
            Some(mark) if mark.stack == self.stack.len() => self.cut_mark().map(|_| ()),
            _ => self.pop().map(|_| ()),
        }
    }

    fn cut_mark(&mut self) -> Result<Mark> {
        self.marks.pop().ok_or_else(|| self.bad("a mark is missing"))
    }

    fn pop_mark(&mut self) -> Result<Vec<Value>> {
        self.cut_mark().map(|mark| self.stack.split_off(mark.stack))
    }

    fn pop_many(&mut self, count: usize) -> Result<Vec<Value>> {
        match self.stack.len().checked_sub(count) {
            Some(start) if start >= self.floor() => Ok(self.stack.split_off(start)),
            _ => Err(self.bad("the stack is empty")),
        }
    }

    fn pop(&mut self) -> Result<Value> {
        let value = self.top()?;
        self.stack.pop();
        Ok(value)
    }

    fn top(&self) -> Result<Value> {
        match self.stack.last() {
            Some(value) if self.stack.len() > self.floor() => Ok(*value),
            _ => Err(self.bad("the stack is empty")),
        }
    }

    /// The value under the topmost one.
    fn below_top(&self) -> Option<Value> {
        self.stack.len().checked_sub(2).and_then(|index| self.stack.get(index)).copied()
    }

    /// Height of the stack at the last mark; what lies below belongs to others.
    fn floor(&self) -> usize {
        self.marks.last().map_or(0, |mark| mark.stack)
    }

    fn push_container(&mut self, container: Container) -> Result<()> {
        let value = self.store.add_container(container);
        self.push(value)
    }

    fn push(&mut self, value: Value) -> Result<()> {
        self.count_item()?;
        self.stack.push(value);
        Ok(())
    }

    fn count_item(&mut self) -> Result<()> {
        self.items += 1;
        if self.items > self.bounds.max_items {
            return Err(limit(self.at, "more items", self.bounds.max_items as u64));
        }
        Ok(())
    }

    fn check_memory(&self) -> Result<()> {
        let own = 16 * (self.stack.capacity() + self.memo.capacity()) + self.scratch.capacity();
        let held = own + 32 * self.sparse_memo.capacity() + 24 * self.marks.capacity();
        if held as u64 + self.store.memory_bytes() > self.bounds.max_memory_bytes {
            return Err(limit(self.at, "more bytes of values", self.bounds.max_memory_bytes));
        }
        Ok(())
    }

    fn bad(&self, reason: impl std::fmt::Display) -> tranship_connector::Error {
        damaged(self.at, reason)
    }
}

/// A foreign name as it may stand in a message.
fn shown(name: &str) -> String {
    name.chars().take(200).flat_map(char::escape_debug).collect()
}
