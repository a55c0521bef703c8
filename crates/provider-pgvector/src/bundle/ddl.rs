//! The SQL of a bundle: scripts for psql.
//!
//! Names stand in them as quoted identifiers and literals only; control characters were refused before, so none ends a
//! line of a `\copy`. Every step is done in one transaction with its mark in the table of marks, so a script that was
//! stopped anywhere can be run again; two runs at a time wait for each other at the mark.

use std::fmt::Write;

use tranship_bundle::Facts;
use tranship_storage::durable::sha256_bytes;

use super::layout::{ID, Layout, NAMESPACE};
use super::{indexes, pulled};
use crate::dialect::{LEDGER, identifier, literal};

/// What every script begins with.
pub const PROLOGUE: &str = "\\set ON_ERROR_STOP on\n\\set QUIET on\nSET client_min_messages = warning;\n\
                        SET standard_conforming_strings = on;\nSET client_encoding = 'UTF8';\n";

/// The scripts of one bundle.
pub struct Scripts<'a> {
    facts: &'a Facts<'a>,
    layout: &'a Layout,
    /// The table as an identifier.
    table: String,
    /// Its name as a literal: what its marks are filed under.
    target: String,
}

impl<'a> Scripts<'a> {
    /// For a bundle whose data is complete.
    pub fn new(facts: &'a Facts<'a>, layout: &'a Layout) -> Self {
        let name = &facts.mapping.collection;
        Scripts { facts, layout, table: identifier(name), target: literal(name) }
    }

    /// Creates the table, unless this bundle has created it before.
    pub fn schema(&self) -> String {
        let (table, target) = (&self.table, &self.target);
        let columns = self.layout.columns().into_iter().map(|(name, kind)| {
            let rule = match name {
                NAMESPACE if self.layout.namespaced => " NOT NULL DEFAULT ''",
                ID => " NOT NULL",
                _ => "",
            };
            format!("    {} {kind}{rule}", identifier(name))
        });
        let columns: Vec<String> = columns.collect();
        let (digest, quoted) = (literal(&self.digest()), literal(table));
        format!(
            "{PROLOGUE}\
             BEGIN;\n\
             CREATE EXTENSION IF NOT EXISTS vector;\n\
             CREATE TABLE IF NOT EXISTS {LEDGER} (target text, step text, sha256 text, records bigint,\n    \
             done timestamptz DEFAULT now(), PRIMARY KEY (target, step));\n\
             LOCK TABLE {LEDGER} IN SHARE ROW EXCLUSIVE MODE;\n\
             SELECT to_regclass({quoted}) IS NULL AS fresh,\n    \
             EXISTS (SELECT FROM {LEDGER} WHERE target = {target} AND step = 'schema' AND sha256 = {digest}) AS ours \\gset\n\
             \\if :fresh\n\
             DELETE FROM {LEDGER} WHERE target = {target};\n\
             CREATE TABLE {table} (\n{}\n);\n\
             INSERT INTO {LEDGER} (target, step, sha256) VALUES ({target}, 'schema', {digest});\n\
             \\elif :ours\n\
             \\else\n\
             DO $$ BEGIN RAISE EXCEPTION 'there is a table of that name that this bundle has not made'\n    \
             USING HINT = 'remove it with undo.sh of its own bundle, or write this one under another name: --as NAME'; END $$;\n\
             \\endif\n\
             COMMIT;\n",
            columns.join(",\n")
        )
    }

    /// Loads every file that has no mark. With `-v workers=N -v worker=K` only those whose number is K modulo N.
    pub fn data(&self) -> String {
        let mut text = format!(
            "{PROLOGUE}\\if :{{?workers}}\n\\else\n\\set workers 1\n\\set worker 0\n\\endif\nSET synchronous_commit = off;\n"
        );
        let (table, columns) = (&self.table, self.layout.column_list());
        for (number, (path, records, _)) in self.facts.data().enumerate() {
            let sha256 = self.facts.manifest.files.get(path).map_or("", |entry| entry.sha256.as_str());
            let load = format!("\\copy {table} ({columns}) FROM {} WITH (FORMAT binary)\n", literal(path));
            let _infallible = write!(
                text,
                "SELECT {number} % :workers = :worker AND {} AS wanted \\gset\n{}",
                self.is_open(path),
                self.step(path, &literal(sha256), &records.to_string(), &load)
            );
        }
        text
    }

    /// Keys and indexes, each if it has no mark.
    pub fn index(&self) -> String {
        let table = &self.table;
        let mut text = format!(
            "{PROLOGUE}\\if :{{?maintenance_work_mem}}\nSET maintenance_work_mem = :'maintenance_work_mem';\n\\endif\n"
        );
        let key = if self.layout.namespaced { format!("{NAMESPACE}, {ID}") } else { ID.to_owned() };
        let mut steps = vec![("primary key".to_owned(), format!("ALTER TABLE {table} ADD PRIMARY KEY ({key})"))];
        for (number, (statement, shown)) in
            indexes::statements(self.facts.mapping, self.layout, table).into_iter().enumerate()
        {
            match shown {
                true => {
                    let _infallible = writeln!(
                        text,
                        "-- approximate by half precision, for queries that cast alike:\n-- {statement};"
                    );
                }
                false => steps.push((format!("index {number}"), statement)),
            }
        }
        for (step, statement) in steps {
            let run = format!("{statement};\n");
            let _infallible = write!(
                text,
                "SELECT {} AS wanted \\gset\n{}",
                self.is_open(&step),
                self.step(&step, "NULL", "NULL", &run)
            );
        }
        let _infallible = writeln!(text, "ANALYZE {table};");
        text
    }

    /// Prints every count that is wrong.
    pub fn check(&self) -> String {
        let table = &self.table;
        let rows = self.facts.totals.rows;
        if !self.layout.namespaced {
            return format!(
                "{PROLOGUE}SELECT 'records', {rows} AS wanted, count(*) AS found FROM {table} HAVING count(*) <> {rows};\n"
            );
        }
        let wanted = self.facts.mapping.records.iter();
        let mut values: Vec<String> = wanted.map(|(name, count)| format!("({}, {count})", literal(name))).collect();
        if values.is_empty() {
            values.push("('', 0)".to_owned());
        }
        format!(
            "{PROLOGUE}SELECT coalesce(w.name, f.name), coalesce(w.records, 0), coalesce(f.records, 0)\nFROM (VALUES\n{}) AS w(name, records)\n\
             FULL JOIN (SELECT namespace AS name, count(*) AS records FROM {table} GROUP BY namespace) AS f USING (name)\n\
             WHERE coalesce(w.records, 0) <> coalesce(f.records, 0) ORDER BY 1;\n",
            values.join(",\n")
        )
    }

    /// Writes all rows to standard output, as a file of the bundle has them.
    pub fn pull(&self) -> String {
        format!(
            "{PROLOGUE}\\copy (SELECT {} FROM {}) TO {} WITH (FORMAT binary)\n",
            self.layout.column_list(),
            self.table,
            literal(pulled::ROWS)
        )
    }

    /// Drops the table with its marks.
    pub fn undo(&self) -> String {
        let (table, target) = (&self.table, &self.target);
        format!(
            "{PROLOGUE}SELECT to_regclass('{LEDGER}') IS NOT NULL AS noted \\gset\nBEGIN;\nDROP TABLE IF EXISTS {table};\n\
             \\if :noted\nDELETE FROM {LEDGER} WHERE target = {target};\n\
             SELECT NOT EXISTS (SELECT FROM {LEDGER}) AS last \\gset\n\\if :last\nDROP TABLE {LEDGER};\n\\endif\n\\endif\n\
             COMMIT;\n"
        )
    }

    fn is_open(&self, step: &str) -> String {
        format!("NOT EXISTS (SELECT FROM {LEDGER} WHERE target = {} AND step = {})", self.target, literal(step))
    }

    /// The mark comes first: whoever loads the same file at the same time waits there, and fails once it stands.
    fn step(&self, step: &str, sha256: &str, records: &str, run: &str) -> String {
        let (target, step) = (&self.target, literal(step));
        format!(
            "\\if :wanted\nBEGIN;\nINSERT INTO {LEDGER} (target, step, sha256, records) VALUES ({target}, {step}, {sha256}, \
             {records});\n{run}COMMIT;\n\\endif\n"
        )
    }

    /// What tells this bundle from another one for a table of the same name.
    fn digest(&self) -> String {
        let mut all = self.layout.column_list();
        for (path, records, _) in self.facts.data() {
            let sha256 = self.facts.manifest.files.get(path).map_or("", |entry| entry.sha256.as_str());
            let _infallible = write!(all, "\n{path} {records} {sha256}");
        }
        sha256_bytes(all.as_bytes())
    }
}
