//! The FAISS reader against files of the real library and what it reconstructs from them, and against damaged ones.
#![allow(clippy::disallowed_methods)]

mod bundle;
mod damage;
mod engine;
mod hand_made;
mod langchain;
mod messages;
mod pickles;
mod support;
mod truth;
