//! The steps over generated collections: what they keep, what they change, what they refuse.

mod fields;
mod rows;
mod support;
mod vectors;
