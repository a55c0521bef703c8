//! As much of SQL as dumps are made of: where statements end, and what the ones that declare tables say.

pub mod catalog;
pub mod lexer;
pub mod token;

pub use catalog::{Catalog, Table, TableName};
pub use lexer::{Lexer, Stop};
