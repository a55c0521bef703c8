//! What the statements of a dump declare: tables, their columns and keys, partitions, indexes, domains, encoding.
//!
//! Invariant: the catalogue depends on the order of statements only where SQL does (`search_path`); a statement that says nothing about
//! tables is ignored. Names are compared as PostgreSQL does: unquoted ones in lower case.
//!
//! Errors: none; encodings are judged by the reader, so that a dump can be listed whatever its encoding.
//! Source: PostgreSQL 18 `src/bin/pg_dump/pg_dump.c` (dumpTableSchema, dumpIndex, dumpConstraint).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::cursor::Cursor;
use super::token::{Token, tokens};
use crate::dialect::Type;

/// Schema and name of a table. The schema is empty where neither statement nor `search_path` names one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TableName {
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
}

/// A table.
#[derive(Debug, Clone, Default)]
pub struct Table {
    /// Its columns in order.
    pub columns: Vec<Column>,
    /// Columns of its primary key.
    pub primary_key: Vec<String>,
    /// The table that this one is a partition or a child of.
    pub parent: Option<TableName>,
    /// Its indexes.
    pub indexes: Vec<Index>,
    /// The statement that creates it.
    pub create: String,
}

/// A column.
#[derive(Debug, Clone)]
pub struct Column {
    /// Name.
    pub name: String,
    /// Type.
    pub kind: Type,
    /// Computed from other columns: no dump holds its values.
    pub generated: bool,
}

/// An index.
#[derive(Debug, Clone)]
pub struct Index {
    /// Access method: `hnsw`, `ivfflat`, `btree` ..
    pub method: String,
    /// The column, or the one column within the expression that is indexed.
    pub column: Option<String>,
    /// A function is applied to the column.
    pub computed: bool,
    /// Operator class, if it is named.
    pub operator_class: Option<String>,
    /// `WITH (..)`.
    pub settings: Vec<(String, String)>,
    /// The statement.
    pub statement: String,
}

/// `COPY table (columns) FROM stdin`, or from a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyHead {
    /// The table.
    pub table: TableName,
    /// The columns, if the statement lists them.
    pub columns: Option<Vec<String>>,
    /// Anything but the text format with its defaults, which is what pg_dump writes.
    pub unusual: bool,
    /// The rows are in another file, which the statement names.
    pub elsewhere: bool,
}

/// `INSERT INTO table (columns) VALUES`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InsertHead {
    /// The table.
    pub table: TableName,
    /// The columns, if the statement lists them.
    pub columns: Option<Vec<String>>,
    /// It inserts the result of a query.
    pub from_query: bool,
}

/// Everything declared so far.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// Tables by name.
    pub tables: BTreeMap<TableName, Table>,
    /// Tables that were created twice and not alike, as in several databases.
    pub conflicting: BTreeSet<TableName>,
    /// `client_encoding`, if it was set.
    pub encoding: Option<String>,
    /// `standard_conforming_strings = off`.
    pub plain_escapes: bool,
    /// The schema of names without one.
    pub default_schema: String,
    domains: BTreeMap<String, Type>,
}

impl Index {
    /// True unless it is one of PostgreSQL's own access methods, which do not search vectors.
    pub fn is_for_vectors(&self) -> bool {
        !matches!(self.method.as_str(), "btree" | "hash" | "gin" | "gist" | "spgist" | "brin")
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.schema.as_str() {
            "" => f.write_str(&self.name),
            schema => write!(f, "{schema}.{}", self.name),
        }
    }
}

impl TableName {
    /// The name as SQL spells it.
    pub fn quoted(&self) -> String {
        let quote = |name: &str| {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            if name.chars().all(plain) { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
        };
        match self.schema.as_str() {
            "" => quote(&self.name),
            schema => format!("{}.{}", quote(schema), quote(&self.name)),
        }
    }
}

impl Catalog {
    /// Takes in one statement.
    pub fn statement(&mut self, text: &str) {
        let found = tokens(text);
        let mut cursor = Cursor::new(&found);
        match cursor.word() {
            Some("create") => self.create(&mut cursor, text),
            Some("alter") => self.alter(&mut cursor),
            Some("set") => self.set(&mut cursor),
            Some("select") => self.select(&found),
            _ => {}
        }
    }

    /// The head of a COPY statement that fills a table.
    pub fn copy_head(&self, text: &str) -> Option<CopyHead> {
        let found = tokens(text);
        let mut cursor = Cursor::new(&found);
        if !cursor.take("copy") {
            return None;
        }
        let table = self.table_name(&mut cursor)?;
        let columns = cursor.name_list();
        if !cursor.take("from") {
            return None;
        }
        let elsewhere = !cursor.take("stdin");
        let rest = cursor.rest();
        let harmless = |token: &Token| {
            matches!(token, Token::Symbol(';' | '(' | ')')) || is_any(token, &["with", "format", "text", "freeze"])
        };
        Some(CopyHead { table, columns, unusual: !rest.iter().all(harmless), elsewhere })
    }

    /// The head of an INSERT statement.
    pub fn insert_head(&self, text: &str) -> Option<InsertHead> {
        let found = tokens(text);
        let mut cursor = Cursor::new(&found);
        if !(cursor.take("insert") && cursor.take("into")) {
            return None;
        }
        let table = self.table_name(&mut cursor)?;
        if cursor.take("as") {
            cursor.name();
        }
        let columns = cursor.name_list();
        // VALUES within parentheses belong to a query.
        let mut depth = 0usize;
        let from_query = !cursor.rest().iter().any(|token| {
            match token {
                Token::Symbol('(') => depth += 1,
                Token::Symbol(')') => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0 && token.is("values")
        });
        Some(InsertHead { table, columns, from_query })
    }

    /// The table whose rows a statement changes that are there already.
    pub fn changed_table(&self, text: &str) -> Option<TableName> {
        let found = tokens(text);
        let mut cursor = Cursor::new(&found);
        let changes = match cursor.word()? {
            "update" => true,
            "delete" => cursor.take("from"),
            "merge" => cursor.take("into"),
            "truncate" => {
                cursor.take("table");
                true
            }
            _ => false,
        };
        changes.then(|| self.table_name(&mut cursor)).flatten()
    }

    /// The table and those that are its partitions or children, at any depth, in order of their names.
    pub fn family(&self, name: &TableName) -> Vec<TableName> {
        let mut family = vec![name.clone()];
        let mut at = 0;
        while let Some(parent) = family.get(at).cloned() {
            let children = self.tables.iter().filter(|(_, table)| table.parent.as_ref() == Some(&parent));
            let new: Vec<TableName> = children.map(|(name, _)| name.clone()).filter(|n| !family.contains(n)).collect();
            family.extend(new);
            at += 1;
        }
        family
    }

    /// True if the table is part of another one.
    pub fn is_part(&self, name: &TableName) -> bool {
        self.tables
            .get(name)
            .and_then(|table| table.parent.as_ref())
            .is_some_and(|parent| self.tables.contains_key(parent))
    }

    /// The type that tokens name.
    pub fn parse_type(&self, found: &[Token]) -> Type {
        Type::parse(found, &|name| self.domains.get(name).cloned())
    }

    fn create(&mut self, cursor: &mut Cursor<'_>, text: &str) {
        let unique = cursor.take("unique");
        if cursor.take("index") {
            return self.create_index(cursor, text).unwrap_or_default();
        }
        if unique {
            return;
        }
        while cursor.take_any(&["global", "local", "temporary", "temp", "unlogged", "foreign"]) {}
        if cursor.take("table") {
            self.create_table(cursor, text).unwrap_or_default();
        } else if cursor.take("domain") {
            self.create_domain(cursor).unwrap_or_default();
        } else if cursor.take("type") {
            self.create_type(cursor).unwrap_or_default();
        }
    }

    fn create_table(&mut self, cursor: &mut Cursor<'_>, text: &str) -> Option<()> {
        let unless_there = cursor.take("if");
        if unless_there {
            cursor.skip(2);
        }
        let name = self.table_name(cursor)?;
        if unless_there && self.tables.contains_key(&name) {
            return Some(());
        }
        let mut table = Table { create: text.trim().to_owned(), ..Table::default() };
        if cursor.take("partition") && cursor.take("of") {
            let parent = self.table_name(cursor)?;
            if let Some(from) = self.tables.get(&parent) {
                table.columns.clone_from(&from.columns);
            }
            table.parent = Some(parent);
        }
        for item in cursor.parenthesised().unwrap_or_default() {
            self.table_item(item, &mut table);
        }
        if cursor.take("inherits") {
            let first = cursor.parenthesised().and_then(|items| items.first().copied());
            table.parent = first.and_then(|item| self.table_name(&mut Cursor::new(item)));
            if let Some(from) = table.parent.as_ref().and_then(|parent| self.tables.get(parent)) {
                let own = std::mem::take(&mut table.columns);
                let named = |column: &Column| own.iter().any(|c| c.name == column.name);
                table.columns = from.columns.iter().filter(|c| !named(c)).cloned().collect();
                table.columns.extend(own);
            }
        }
        if self.tables.get(&name).is_some_and(|before| before.create != table.create) {
            self.conflicting.insert(name.clone());
        }
        self.tables.insert(name, table);
        Some(())
    }

    /// A column or a constraint.
    fn table_item(&self, item: &[Token], table: &mut Table) {
        let mut cursor = Cursor::new(item);
        if cursor.take("constraint") {
            cursor.name();
        }
        if cursor.take("primary") {
            cursor.take("key");
            table.primary_key = cursor.name_list().unwrap_or_default();
            return;
        }
        const CONSTRAINTS: [&str; 7] = ["constraint", "unique", "check", "foreign", "exclude", "like", "not"];
        if item.first().is_some_and(|token| is_any(token, &CONSTRAINTS)) {
            return;
        }
        let Some(name) = cursor.name().map(str::to_owned) else { return };
        const ENDS: [&str; 14] = [
            "not",
            "null",
            "default",
            "generated",
            "collate",
            "constraint",
            "primary",
            "unique",
            "check",
            "references",
            "storage",
            "compression",
            "options",
            "using",
        ];
        let rest = cursor.rest();
        let end = rest.iter().position(|token| is_any(token, &ENDS)).unwrap_or(rest.len());
        let (kind, rest) = rest.split_at(end);
        let pair = |a: &str, b: &str| rest.windows(2).any(|two| matches!(two, [x, y] if x.is(a) && y.is(b)));
        if pair("primary", "key") {
            table.primary_key = vec![name.clone()];
        }
        let computed = |four: &[Token]| matches!(four, [a, b, c, Token::Symbol('(')] if a.is("generated") && b.is("always") && c.is("as"));
        let generated = rest.windows(4).any(computed);
        // PARTITION OF may name columns again, without their types.
        if kind.is_empty() && table.columns.iter().any(|c| c.name == name) {
            return;
        }
        table.columns.push(Column { name, kind: self.parse_type(kind), generated });
    }

    fn create_domain(&mut self, cursor: &mut Cursor<'_>) -> Option<()> {
        let name = self.table_name(cursor)?.name;
        cursor.take("as");
        let rest = cursor.rest();
        let end = rest.iter().position(|t| is_any(t, &["not", "null", "default", "collate", "constraint", "check"]));
        let kind = self.parse_type(rest.get(..end.unwrap_or(rest.len()))?);
        self.domains.insert(name, kind);
        Some(())
    }

    /// An enum is a text; other types keep their names.
    fn create_type(&mut self, cursor: &mut Cursor<'_>) -> Option<()> {
        let name = self.table_name(cursor)?.name;
        if cursor.take("as") && cursor.take("enum") {
            self.domains.insert(name, Type::Text);
        }
        Some(())
    }

    fn alter(&mut self, cursor: &mut Cursor<'_>) {
        if !cursor.take("table") {
            return;
        }
        if cursor.take("if") {
            cursor.skip(1);
        }
        cursor.take("only");
        let Some(name) = self.table_name(cursor) else { return };
        if cursor.take("attach") && cursor.take("partition") {
            let child = self.table_name(cursor);
            self.set_parent(child, name);
        } else if cursor.take("inherit") {
            let parent = self.table_name(cursor);
            if let Some(parent) = parent {
                self.set_parent(Some(name), parent);
            }
        } else if cursor.take("add") {
            if cursor.take("constraint") {
                cursor.name();
            }
            if cursor.take("primary")
                && cursor.take("key")
                && let (Some(columns), Some(table)) = (cursor.name_list(), self.tables.get_mut(&name))
            {
                table.primary_key = columns;
            }
        }
    }

    fn set_parent(&mut self, child: Option<TableName>, parent: TableName) {
        if let Some(table) = child.and_then(|child| self.tables.get_mut(&child)) {
            table.parent = Some(parent);
        }
    }

    fn create_index(&mut self, cursor: &mut Cursor<'_>, text: &str) -> Option<()> {
        cursor.take("concurrently");
        if cursor.take("if") {
            cursor.skip(2);
        }
        if !cursor.take("on") {
            cursor.name()?;
            // A qualified index name is not allowed, but costs nothing.
            while cursor.symbol('.') {
                cursor.name()?;
            }
            cursor.take("on");
        }
        cursor.take("only");
        let name = self.table_name(cursor)?;
        let method = if cursor.take("using") { cursor.name()?.to_owned() } else { "btree".to_owned() };
        let elements = cursor.parenthesised()?;
        let [element] = elements.as_slice() else { return Some(()) };
        let (column, computed, operator_class) = indexed(element);
        let settings = self.index_settings(cursor);
        let statement = text.trim().to_owned();
        let table = self.tables.get_mut(&name)?;
        table.indexes.push(Index { method, column, computed, operator_class, settings, statement });
        Some(())
    }

    fn index_settings(&self, cursor: &mut Cursor<'_>) -> Vec<(String, String)> {
        while cursor.peek().is_some_and(|token| !token.is("with") && !token.is("where")) {
            cursor.skip(1);
        }
        if !cursor.take("with") {
            return Vec::new();
        }
        let text = |token: &Token| match token {
            Token::Word(text) | Token::Quoted(text) | Token::Text(text) => text.clone(),
            Token::Symbol(c) => c.to_string(),
        };
        let setting = |item: &[Token]| match item {
            [key, Token::Symbol('='), value @ ..] => Some((text(key), value.iter().map(text).collect())),
            [key] => Some((text(key), "true".to_owned())),
            _ => None,
        };
        cursor.parenthesised().unwrap_or_default().into_iter().filter_map(setting).collect()
    }

    fn set(&mut self, cursor: &mut Cursor<'_>) {
        cursor.take_any(&["session", "local"]);
        let Some(name) = cursor.name() else { return };
        if !(cursor.symbol('=') || cursor.take("to")) {
            return;
        }
        let value = match cursor.peek() {
            Some(Token::Word(value) | Token::Quoted(value) | Token::Text(value)) => value.clone(),
            _ => return,
        };
        match name {
            "client_encoding" => self.encoding = Some(value),
            "standard_conforming_strings" => self.plain_escapes = matches!(value.as_str(), "off" | "false" | "0"),
            "search_path" => self.default_schema = value,
            _ => {}
        }
    }

    /// `SELECT pg_catalog.set_config('search_path', '', false)`.
    fn select(&mut self, found: &[Token]) {
        let call = found.windows(2).any(|two| matches!(two, [name, Token::Symbol('(')] if name.is("set_config")));
        let mut texts = found.iter().filter_map(|token| if let Token::Text(text) = token { Some(text) } else { None });
        if call && texts.next().is_some_and(|text| text == "search_path") {
            let path = texts.next().map_or("", |text| text.as_str());
            path.split(',').next().unwrap_or("").trim().trim_matches('"').clone_into(&mut self.default_schema);
        }
    }

    fn table_name(&self, cursor: &mut Cursor<'_>) -> Option<TableName> {
        cursor.take("only");
        let mut parts = vec![cursor.name()?.to_owned()];
        while cursor.symbol('.') {
            parts.push(cursor.name()?.to_owned());
        }
        let name = parts.pop()?;
        let schema = parts.pop().unwrap_or_else(|| self.default_schema.clone());
        Some(TableName { schema, name })
    }
}

/// Column, whether it is computed, and operator class of an index element: `col ops`, `((col)::halfvec(3)) ops`.
fn indexed(element: &[Token]) -> (Option<String>, bool, Option<String>) {
    let mut cursor = Cursor::new(element);
    let (column, computed) = match cursor.peek() {
        Some(Token::Symbol('(')) => {
            let inner = cursor.parenthesised().unwrap_or_default();
            let inner = inner.first().copied().unwrap_or_default();
            let called = inner.windows(2).any(|two| {
                matches!(two, [Token::Word(_), Token::Symbol('(')])
                    && !matches!(two, [name, _] if is_any(name, &["vector", "halfvec", "sparsevec", "bit"]))
            });
            (inner.iter().find_map(Token::name).map(str::to_owned), called)
        }
        _ => {
            let name = cursor.name().map(str::to_owned);
            (name, cursor.peek() == Some(&Token::Symbol('(')))
        }
    };
    let mut class = None;
    // The last part of a qualified name; ASC, DESC and NULLS do not occur on vectors.
    while let Some(token) = cursor.peek() {
        class = token.name().map(str::to_owned).filter(|name| name.ends_with("_ops")).or(class);
        cursor.skip(1);
    }
    (column, computed, class)
}

fn is_any(token: &Token, words: &[&str]) -> bool {
    words.iter().any(|word| token.is(word))
}

#[cfg(test)]
mod tests;
