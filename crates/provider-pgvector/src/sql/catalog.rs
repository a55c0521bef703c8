//! What the statements of a dump declare: tables, their columns and keys, partitions, indexes, domains, encoding.
//!
//! Invariant: the catalogue depends on the order of statements only where SQL does (`search_path`); a statement that says nothing about
//! tables is ignored. Names are compared as PostgreSQL does: unquoted ones in lower case.
//!
//! Errors: none; encodings are judged by the reader, so that a dump can be listed whatever its encoding.
//! Source: PostgreSQL 18 `src/bin/pg_dump/pg_dump.c` (dumpTableSchema, dumpIndex, dumpConstraint).

use std::collections::BTreeMap;
use std::fmt;

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

/// `COPY table (columns) FROM stdin`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyHead {
    /// The table.
    pub table: TableName,
    /// The columns, if the statement lists them.
    pub columns: Option<Vec<String>>,
    /// Anything but the text format with its defaults, which is what pg_dump writes.
    pub unusual: bool,
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
        let mut cursor = Cursor { tokens: &found, at: 0 };
        match cursor.word() {
            Some("create") => self.create(&mut cursor, text),
            Some("alter") => self.alter(&mut cursor),
            Some("set") => self.set(&mut cursor),
            Some("select") => self.select(&found),
            _ => {}
        }
    }

    /// The head of a COPY statement that takes its rows from the dump.
    pub fn copy_head(&self, text: &str) -> Option<CopyHead> {
        let found = tokens(text);
        let mut cursor = Cursor { tokens: &found, at: 0 };
        if !cursor.take("copy") {
            return None;
        }
        let table = self.table_name(&mut cursor)?;
        let columns = cursor.name_list();
        if !(cursor.take("from") && cursor.take("stdin")) {
            return None;
        }
        let rest = cursor.rest();
        let harmless = |token: &Token| matches!(token, Token::Symbol(';' | '(' | ')')) || is_any(token, &["with", "format", "text"]);
        Some(CopyHead { table, columns, unusual: !rest.iter().all(harmless) })
    }

    /// The head of an INSERT statement.
    pub fn insert_head(&self, text: &str) -> Option<InsertHead> {
        let found = tokens(text);
        let mut cursor = Cursor { tokens: &found, at: 0 };
        if !(cursor.take("insert") && cursor.take("into")) {
            return None;
        }
        let table = self.table_name(&mut cursor)?;
        if cursor.take("as") {
            cursor.name();
        }
        let columns = cursor.name_list();
        let from_query = !cursor.rest().iter().any(|token| token.is("values"));
        Some(InsertHead { table, columns, from_query })
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
        self.tables.get(name).and_then(|table| table.parent.as_ref()).is_some_and(|parent| self.tables.contains_key(parent))
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
        if cursor.take("if") {
            cursor.skip(2);
        }
        let name = self.table_name(cursor)?;
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
            table.parent = first.and_then(|item| self.table_name(&mut Cursor { tokens: item, at: 0 }));
            if let Some(from) = table.parent.as_ref().and_then(|parent| self.tables.get(parent)) {
                let own = std::mem::take(&mut table.columns);
                let named = |column: &Column| own.iter().any(|c| c.name == column.name);
                table.columns = from.columns.iter().filter(|c| !named(c)).cloned().collect();
                table.columns.extend(own);
            }
        }
        self.tables.insert(name, table);
        Some(())
    }

    /// A column or a constraint.
    fn table_item(&self, item: &[Token], table: &mut Table) {
        let mut cursor = Cursor { tokens: item, at: 0 };
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
            "not", "null", "default", "generated", "collate", "constraint", "primary", "unique", "check", "references",
            "storage", "compression", "options", "using",
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
            if cursor.take("primary") && cursor.take("key")
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
    let mut cursor = Cursor { tokens: element, at: 0 };
    let (column, computed) = match cursor.peek() {
        Some(Token::Symbol('(')) => {
            let inner = cursor.parenthesised().unwrap_or_default();
            let inner = inner.first().copied().unwrap_or_default();
            let called = inner.windows(2).any(|two| matches!(two, [Token::Word(_), Token::Symbol('(')])
                && !matches!(two, [name, _] if is_any(name, &["vector", "halfvec", "sparsevec", "bit"])));
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

/// A place among tokens.
struct Cursor<'t> {
    tokens: &'t [Token],
    at: usize,
}

impl<'t> Cursor<'t> {
    fn peek(&self) -> Option<&'t Token> {
        self.tokens.get(self.at)
    }

    fn rest(&self) -> &'t [Token] {
        self.tokens.get(self.at..).unwrap_or_default()
    }

    fn skip(&mut self, count: usize) {
        self.at += count;
    }

    /// The next unquoted word.
    fn word(&mut self) -> Option<&'t str> {
        let Some(Token::Word(word)) = self.peek() else { return None };
        self.at += 1;
        Some(word)
    }

    fn name(&mut self) -> Option<&'t str> {
        let name = self.peek()?.name()?;
        self.at += 1;
        Some(name)
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.peek().is_some_and(|token| token.is(word));
        self.at += usize::from(found);
        found
    }

    fn take_any(&mut self, words: &[&str]) -> bool {
        words.iter().any(|word| self.take(word))
    }

    fn symbol(&mut self, symbol: char) -> bool {
        let found = self.peek() == Some(&Token::Symbol(symbol));
        self.at += usize::from(found);
        found
    }

    /// `(a, "B", c)`.
    fn name_list(&mut self) -> Option<Vec<String>> {
        let items = self.parenthesised()?;
        Some(items.iter().filter_map(|item| item.first()?.name().map(str::to_owned)).collect())
    }

    /// The items between the parentheses that begin here, without their commas.
    fn parenthesised(&mut self) -> Option<Vec<&'t [Token]>> {
        if self.peek() != Some(&Token::Symbol('(')) {
            return None;
        }
        let (mut depth, mut items, mut from) = (0usize, Vec::new(), self.at + 1);
        while let Some(token) = self.peek() {
            match token {
                Token::Symbol('(' | '[') => depth += 1,
                Token::Symbol(')' | ']') => depth = depth.saturating_sub(1),
                Token::Symbol(',') if depth == 1 => {
                    items.push(self.tokens.get(from..self.at)?);
                    from = self.at + 1;
                }
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                break;
            }
        }
        let last = self.tokens.get(from..self.at.saturating_sub(1)).unwrap_or_default();
        if !last.is_empty() {
            items.push(last);
        }
        Some(items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog(statements: &[&str]) -> Catalog {
        let mut catalog = Catalog::default();
        statements.iter().for_each(|text| catalog.statement(text));
        catalog
    }

    fn name(schema: &str, name: &str) -> TableName {
        TableName { schema: schema.to_owned(), name: name.to_owned() }
    }

    #[test]
    fn tables_are_known_with_columns_keys_and_indexes() {
        let catalog = catalog(&[
            "CREATE DOMAIN app.emb AS public.vector(3) CONSTRAINT c CHECK (true);",
            "CREATE TYPE app.mood AS ENUM ('a', 'b');",
            "CREATE TABLE app.\"Docs ,odd\" (id bigint DEFAULT nextval('x(,)'::regclass) NOT NULL, \"E,m\" app.emb, m app.mood,
             n numeric(10,2) DEFAULT 0, gen text GENERATED ALWAYS AS (upper(doc)) STORED, i int GENERATED BY DEFAULT AS IDENTITY,
             CONSTRAINT chk CHECK ((id > 0)));",
            "ALTER TABLE ONLY app.\"Docs ,odd\"\n    ADD CONSTRAINT \"pk\" PRIMARY KEY (id);",
            "CREATE INDEX x ON app.\"Docs ,odd\" USING hnsw (\"E,m\" public.vector_cosine_ops) WITH (m='24', ef_construction=100);",
            "CREATE INDEX y ON app.\"Docs ,odd\" USING hnsw (((\"E,m\")::public.halfvec(3)) public.halfvec_l2_ops);",
            "CREATE INDEX z ON app.\"Docs ,odd\" USING hnsw (((public.binary_quantize(\"E,m\"))::bit(3)) public.bit_hamming_ops);",
        ]);
        let table = &catalog.tables[&name("app", "Docs ,odd")];
        let kinds: Vec<_> = table.columns.iter().map(|c| (c.name.as_str(), c.kind.clone(), c.generated)).collect();
        let expected = [
            ("id", Type::Integer(8), false),
            ("E,m", Type::Vector(Some(3)), false),
            ("m", Type::Text, false),
            ("n", Type::Numeric, false),
            ("gen", Type::Text, true),
            ("i", Type::Integer(4), false),
        ];
        assert_eq!(kinds, expected);
        assert_eq!(table.primary_key, ["id"]);
        let [x, y, z] = table.indexes.as_slice() else { panic!("{:?}", table.indexes) };
        assert_eq!((x.column.as_deref(), x.computed), (Some("E,m"), false));
        assert_eq!(x.operator_class.as_deref(), Some("vector_cosine_ops"));
        assert_eq!(x.settings, [("m".to_owned(), "24".to_owned()), ("ef_construction".to_owned(), "100".to_owned())]);
        assert_eq!((y.column.as_deref(), y.computed, y.operator_class.as_deref()), (Some("E,m"), false, Some("halfvec_l2_ops")));
        assert!(z.computed);
    }

    #[test]
    fn partitions_belong_to_their_parents() {
        let catalog = catalog(&[
            "SET search_path = app, pg_catalog;",
            "CREATE TABLE docs (id int, v vector(2)) PARTITION BY LIST (id);",
            "CREATE TABLE docs_1 (v vector(2), id int);",
            "ALTER TABLE ONLY docs ATTACH PARTITION docs_1 FOR VALUES IN (1);",
            "CREATE TABLE docs_2 PARTITION OF docs FOR VALUES IN (2);",
            "CREATE TABLE docs_3 (extra int) INHERITS (docs);",
        ]);
        let family = catalog.family(&name("app", "docs"));
        assert_eq!(family.iter().map(|n| n.name.as_str()).collect::<Vec<_>>(), ["docs", "docs_1", "docs_2", "docs_3"]);
        assert!(catalog.is_part(&name("app", "docs_2")) && !catalog.is_part(&name("app", "docs")));
        assert_eq!(catalog.tables[&name("app", "docs_3")].columns.len(), 3);
    }

    #[test]
    fn heads_of_copy_and_insert_are_read() {
        let catalog = catalog(&["SELECT pg_catalog.set_config('search_path', '', false);"]);
        let copy = catalog.copy_head("-- c\nCOPY app.\"Docs ,odd\" (id, \"Emb\") FROM stdin;").unwrap();
        assert_eq!((copy.table.to_string().as_str(), copy.unusual), ("app.Docs ,odd", false));
        assert_eq!(copy.columns.unwrap(), ["id", "Emb"]);
        assert!(catalog.copy_head("COPY t FROM stdin WITH (FORMAT csv);").unwrap().unusual);
        assert_eq!(catalog.copy_head("COPY t FROM '/x';"), None);
        let insert = catalog.insert_head("INSERT INTO public.t VALUES (1, 'VALUES');").unwrap();
        assert_eq!((insert.columns, insert.from_query), (None, false));
        assert!(catalog.insert_head("INSERT INTO t (a) SELECT 1;").unwrap().from_query);
    }

    #[test]
    fn statements_cut_anywhere_do_no_harm() {
        let text = "CREATE TABLE a.\"b\" (id int[3] PRIMARY KEY, v vector(3), PRIMARY KEY (id)) INHERITS (x);";
        for end in 0..text.len() {
            catalog(&[&text[..end]]);
        }
    }
}
