//! Every kernel against its plain twin and against an independent witness.

mod byte_split;
mod dense_scores;
mod distance;
mod float_print;
mod float_scan;
mod numbers;
